obj.spec.decision = "Approved"
return obj
