local status = obj.status or {}
local waits = false
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Stalled" and condition.reason == "WaitingForDecision" then
    waits = true
  end
end
-- A decision cannot be changed, also while the operator has not observed it yet.
local isOpen = waits and obj.spec.decision == "Pending"

return {
  approve = {disabled = not isOpen},
  reject = {disabled = not isOpen},
}
