local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready = conditions.Ready or {}
local succeeded = conditions.Succeeded or {}
local action = (obj.metadata.annotations or {})["mesh.meshfleet.io/action"] or ""

local isOver = succeeded.status == "True" or succeeded.status == "False"
-- A rollback cannot be paused, and is what an abort asks for.
local isRollingBack = ready.reason == "RollingBack"
local isSuperseded = status.cause == "Superseded"
-- An upgrade that went on without some members has failed for those.
local hasFailed = succeeded.status == "False" or (succeeded.status == "True" and #(status.failed or {}) > 0)
local isAborted = action == "Abort"

return {
  pause = {disabled = isOver or isRollingBack or isSuperseded or isAborted or action == "Pause"},
  -- Any other value of the annotation than Abort counts as a pause.
  resume = {disabled = isOver or isAborted or action == ""},
  abort = {disabled = isOver or isRollingBack or isAborted},
  retry = {disabled = not hasFailed or isSuperseded or action == "Retry"},
}
