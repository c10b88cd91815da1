-- Ready is True when nothing more happens to the approval. Stalled exists only while it is True.
local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready = conditions.Ready

if ready == nil or status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the operator has not observed this generation yet"}
end
if ready.status == "True" then
  return {status = "Healthy", message = ready.message}
end
if ready.reason == "WaitingForDecision" then
  return {status = "Suspended", message = ready.message}
end
if conditions.Stalled ~= nil then
  return {status = "Degraded", message = ready.message}
end
return {status = "Progressing", message = ready.message}
