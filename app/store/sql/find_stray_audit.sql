-- find_stray_audit: an entry that is neither sealed nor waits for it: it came in by another way.
SELECT entry.id
  FROM audit AS entry
 WHERE NOT EXISTS (SELECT 1 FROM audit_seal AS link WHERE link.audit_id = entry.id)
   AND NOT EXISTS (SELECT 1 FROM audit_unsealed AS unsealed WHERE unsealed.audit_id = entry.id)
 ORDER BY entry.id
 LIMIT 1
