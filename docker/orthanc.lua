-- every ultrasound image that Orthanc stores goes to bus-monai
function OnStoredInstance(instanceId, tags, metadata)
  if tags['Modality'] == 'US' then
    SendToModality(instanceId, 'busmonai')
  end
end
