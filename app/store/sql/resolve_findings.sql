-- resolve_findings: end findings whose condition no longer holds. By id: one that was opened after
-- the caller had looked is not its to end.
WITH held AS MATERIALIZED (
    SELECT finding.id
      FROM health_finding AS finding
     WHERE finding.id = ANY (cast(:ids AS uuid[])) AND finding.resolved_at IS NULL
     ORDER BY finding.id
       FOR NO KEY UPDATE
)
UPDATE health_finding AS finding
   SET resolved_at = now(), revision = finding.revision + 1
  FROM held
 WHERE finding.id = held.id
RETURNING finding.*
