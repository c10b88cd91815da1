if obj.metadata.annotations ~= nil then
  obj.metadata.annotations["mesh.meshfleet.io/action"] = nil
end
return obj
