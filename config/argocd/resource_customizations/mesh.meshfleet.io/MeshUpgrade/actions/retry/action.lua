if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["mesh.meshfleet.io/action"] = "Retry"
return obj
