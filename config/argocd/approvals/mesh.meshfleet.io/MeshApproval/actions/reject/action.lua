obj.spec.decision = "Rejected"
return obj
