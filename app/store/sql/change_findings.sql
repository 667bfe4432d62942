-- change_findings: write how open findings stand now. Only where somebody else has not just done
-- the same, and locked in the order of their ids.
WITH held AS MATERIALIZED (
    SELECT finding.id
      FROM health_finding AS finding
     WHERE finding.id = ANY (cast(:id AS uuid[])) AND finding.resolved_at IS NULL
     ORDER BY finding.id
       FOR NO KEY UPDATE
)
UPDATE health_finding AS finding
   SET severity = given.severity, message = given.message,
       since = least(finding.since, given.since),
       seen_at = now(), revision = finding.revision + 1
  FROM unnest(cast(:id AS uuid[]), cast(:severity AS text[]), cast(:message AS text[]),
              cast(:since AS timestamptz[])) AS given (id, severity, message, since)
  JOIN held ON held.id = given.id
 WHERE finding.id = given.id
   AND (finding.severity, finding.message) IS DISTINCT FROM (given.severity, given.message)
RETURNING finding.*
