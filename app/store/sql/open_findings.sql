-- open_findings: open what was observed, unless it is open. The unique index decides between
-- watchdogs that see the same at once: the others insert nothing. In the order of the index, so
-- that two of them never wait for one another in a circle. A schedule that is gone has none.
INSERT INTO health_finding (id, project_id, code, subject, severity, schedule_id, message, since,
                            opened_at, seen_at, revision)
SELECT observed.id, schedule.project_id, observed.code, observed.subject, observed.severity,
       observed.schedule_id, observed.message, observed.since, now(), now(), 1
  FROM unnest(cast(:id AS uuid[]), cast(:code AS text[]), cast(:subject AS text[]),
              cast(:severity AS text[]), cast(:schedule_id AS uuid[]), cast(:message AS text[]),
              cast(:since AS timestamptz[]))
       AS observed (id, code, subject, severity, schedule_id, message, since)
  LEFT JOIN schedule ON schedule.id = observed.schedule_id
 WHERE observed.schedule_id IS NULL OR schedule.id IS NOT NULL
 ORDER BY observed.code, observed.subject
    ON CONFLICT (code, subject) WHERE resolved_at IS NULL DO NOTHING
RETURNING *
