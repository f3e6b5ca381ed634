-- What Orthanc stores and `wanted` wants goes to the modality 'busmonai', in order, and again until it is there. Orthanc's
-- own list of changes is the queue; the file POSITION says how far it is done, so that no end of Orthanc, of the node or
-- of the network loses an image. Each request to Orthanc's HTTP server, such as that of a health check, moves it on.
PAUSE_S, BATCH, FULL_S = 20, 50, 86400
POSITION = GetOrthancConfiguration()['StorageDirectory'] .. '/busmonai.position'
job, first, last, since, due = nil, nil, 0, nil, 0

function wanted(tags)
  local words = string.lower((tags['BodyPartExamined'] or '') .. (tags['StudyDescription'] or '') ..
    (tags['SeriesDescription'] or ''))
  -- what does not say which part it shows is the node's to judge
  return tags['Modality'] == 'US' and (words == '' or words:find('breast') ~= nil or words:find('mam') ~= nil)
end

function position()
  local file = io.open(POSITION)
  if not file then return nil end
  local number = tonumber(file:read('*a'))
  file:close()
  return number
end

function keep(number)
  local file = assert(io.open(POSITION .. '.new', 'w'))
  file:write(string.format('%d', number))
  file:close()
  assert(os.rename(POSITION .. '.new', POSITION))
end

function Initialize()
  if not position() then keep(ParseJson(RestApiGet('/changes?last')).Last or 0) end
end

-- whether this one image is refused, by a status of DICOM: of 0xA700, the node is full, after a day
function refused(found)
  local status = string.match(found and found.ErrorDetails or '', 'status (0x%x+)')
  if not status then since = os.time() end
  return status and (string.upper(status) ~= '0XA700' or os.time() - since > FULL_S)
end

-- ask what became of the job; true while it is not known
function busy()
  if not job then return false end
  local answer = RestApiGet('/jobs/' .. job)
  local found = answer and ParseJson(answer)
  if found and (found.State == 'Pending' or found.State == 'Running' or found.State == 'Retry') then return true end
  job = nil
  if found and found.State == 'Success' then
    since = nil
    keep(last)
  elseif since and first and refused(found) then
    print('busmonai: the node refuses ' .. first .. ' for good: ' .. found.ErrorDetails)
    since = nil
    keep(last)
  else
    print('busmonai: not all images were taken, trying again')
    if since then due = os.time() + PAUSE_S else since = os.time() end
  end
  return false
end

function forward()
  if busy() or os.time() < due then return end
  local start = position() or 0
  local changes = ParseJson(RestApiGet('/changes?since=' .. string.format('%d', start) .. '&limit=1000'))
  local found = {}
  last = start
  for _, change in ipairs(changes.Changes) do
    if #found == (since and 1 or BATCH) then break end
    last = change.Seq
    if change.ChangeType == 'NewInstance' then
      local tags = RestApiGet('/instances/' .. change.ID .. '/simplified-tags')
      if tags and wanted(ParseJson(tags)) then table.insert(found, change.ID) end
    end
  end
  if #found == 0 then
    if last > start then keep(last) end
    return
  end
  first = found[1]
  local request = {Resources = found, Synchronous = false}
  job = ParseJson(RestApiPost('/modalities/busmonai/store', DumpJson(request, true))).ID
end

function OnStoredInstance() forward() end
function OnJobSuccess() forward() end
function OnJobFailure() forward() end
function IncomingHttpRequestFilter() forward() return true end
