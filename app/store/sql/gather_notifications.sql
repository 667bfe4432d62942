-- gather_notifications: turn the events between :previous and this statement's snapshot into
-- notifications, one for each rule that wants to be told, and move the position on to that snapshot.
-- The caller holds the row of notification_feed, so nobody else reads on at the same time. What was
-- gathered before conflicts with its occurrence and is left as it is.
-- A finding that changed may only now be as severe as a rule asks; the rule is told of it once.
-- Severities are compared by their place in :severities.
WITH moved AS (
    UPDATE notification_feed SET position = cast(pg_current_snapshot() AS text)
), rule AS MATERIALIZED (
    SELECT rule.id, rule.project_id, rule.created_at, rule.filter, wanted.event
      FROM notification_rule AS rule
     CROSS JOIN LATERAL unnest(rule.events) AS wanted (event)
), news AS MATERIALIZED (
    SELECT event.subject, event.change, event.at, event.entity_ids
      FROM event
     WHERE event.transaction_id >= pg_snapshot_xmin(cast(cast(:previous AS text) AS pg_snapshot))
       AND NOT pg_visible_in_snapshot(
               event.transaction_id, cast(cast(:previous AS text) AS pg_snapshot))
       AND event.subject || '/' || event.change = ANY (cast(:may_be_told AS text[]))
       AND (event.subject = 'FINDING'
            OR event.project_id IN (SELECT rule.project_id FROM rule))
), thing AS MATERIALIZED (
    SELECT DISTINCT news.subject, news.change, news.at, named.id
      FROM news
     CROSS JOIN LATERAL unnest(news.entity_ids) AS named (id)
), ended AS MATERIALIZED (
    SELECT run.id, run.project_id, run.job_id, run.schedule_id, run.state, run.reason, run.attempt,
           run.cause, run.scheduled_for, run.finished_at, run.tags, thing.at,
           coalesce(run.error ->> 'message', run.message) AS message
      FROM thing
      JOIN run ON run.id = thing.id
     WHERE thing.subject = 'RUN'
       AND run.state IN ('SUCCEEDED', 'FAILED', 'TIMED_OUT', 'LOST')
), happened AS (
    SELECT 'RUN_FAILED' AS event, cast(ended.id AS text) AS occurrence, ended.at,
           ended.project_id, ended.job_id, ended.schedule_id, ended.tags,
           cast(NULL AS text) AS severity, ended.message,
           jsonb_build_object('run', jsonb_build_object(
               'id', 'run_' || replace(cast(ended.id AS text), '-', ''), 'state', ended.state,
               'reason', ended.reason, 'attempt', ended.attempt, 'cause', ended.cause,
               'scheduledFor', ended.scheduled_for, 'finishedAt', ended.finished_at)) AS facts
      FROM ended
     WHERE ended.state <> 'SUCCEEDED'
     UNION ALL
    SELECT 'RUN_RECOVERED', cast(ended.id AS text), ended.at,
           ended.project_id, ended.job_id, ended.schedule_id, ended.tags, NULL, NULL,
           jsonb_build_object('run', jsonb_build_object(
               'id', 'run_' || replace(cast(ended.id AS text), '-', ''), 'state', ended.state,
               'attempt', ended.attempt, 'cause', ended.cause,
               'scheduledFor', ended.scheduled_for, 'finishedAt', ended.finished_at))
      FROM ended
     CROSS JOIN LATERAL (
           SELECT earlier.state
             FROM run AS earlier
            WHERE earlier.schedule_id = ended.schedule_id
              AND earlier.id < ended.id
              AND earlier.state IN ('SUCCEEDED', 'FAILED', 'TIMED_OUT', 'LOST')
            ORDER BY earlier.id DESC
            LIMIT 1) AS before
     WHERE ended.state = 'SUCCEEDED'
       AND before.state <> 'SUCCEEDED'
       AND ended.project_id IN (
           SELECT rule.project_id FROM rule WHERE rule.event = 'RUN_RECOVERED')
     UNION ALL
    SELECT CASE version.change WHEN 'PAUSED' THEN 'SCHEDULE_AUTO_PAUSED'
                               ELSE 'SCHEDULE_QUARANTINED' END,
           cast(version.id AS text), version.at, schedule.project_id, schedule.job_id, schedule.id,
           schedule.tags, NULL,
           concat_ws(' ', coalesce(version.comment, schedule.state_reason),
               CASE WHEN version.change = 'QUARANTINED' THEN schedule.last_error ->> 'message' END),
           '{}'
      FROM thing
      JOIN schedule_version AS version
        ON version.schedule_id = thing.id
       AND version.change = thing.change
       -- Written by the same transaction.
       AND version.at = thing.at
      JOIN schedule ON schedule.id = thing.id
     WHERE thing.subject = 'SCHEDULE'
       AND (version.change = 'QUARANTINED' OR version.by ->> 'kind' = 'SYSTEM')
     UNION ALL
    SELECT CASE thing.change WHEN 'RESOLVED' THEN 'FINDING_RESOLVED' ELSE 'FINDING_OPENED' END,
           cast(finding.id AS text), thing.at, finding.project_id, schedule.job_id,
           finding.schedule_id, schedule.tags, finding.severity, finding.message,
           jsonb_build_object('finding', jsonb_build_object(
               'id', 'finding_' || replace(cast(finding.id AS text), '-', ''),
               'code', finding.code, 'severity', finding.severity, 'since', finding.since))
      FROM thing
      JOIN health_finding AS finding ON finding.id = thing.id
      LEFT JOIN schedule ON schedule.id = finding.schedule_id
     WHERE thing.subject = 'FINDING'
), told AS (
    SELECT rule.id AS rule_id, happened.event, happened.event || '/' || happened.occurrence
               AS occurrence,
           happened.at,
           happened.facts || jsonb_strip_nulls(jsonb_build_object(
               'event', happened.event, 'at', happened.at, 'message', left(happened.message, 2000),
               'job', CASE WHEN job.id IS NOT NULL THEN jsonb_build_object(
                          'id', 'job_' || replace(cast(job.id AS text), '-', ''),
                          'key', job.key, 'name', job.name) END,
               'schedule', CASE WHEN schedule.id IS NOT NULL THEN jsonb_build_object(
                          'id', 'schedule_' || replace(cast(schedule.id AS text), '-', ''),
                          'key', schedule.key, 'name', schedule.name) END)) AS facts
      FROM happened
      LEFT JOIN job ON job.id = happened.job_id
      LEFT JOIN schedule ON schedule.id = happened.schedule_id
      JOIN rule
        ON rule.event = happened.event
       -- What concerns the whole instance concerns every project.
       AND rule.project_id = coalesce(happened.project_id, rule.project_id)
       AND rule.created_at <= happened.at
       AND (rule.filter -> 'jobs' IS NULL OR rule.filter -> 'jobs' ? job.key)
       AND (rule.filter -> 'schedules' IS NULL OR rule.filter -> 'schedules' ? schedule.key)
       AND (rule.filter -> 'tags' IS NULL
            OR coalesce(job.tags, '{}') || coalesce(happened.tags, '{}') @> (rule.filter -> 'tags'))
       AND (rule.filter ->> 'minSeverity' IS NULL
            OR happened.severity IS NULL
            OR array_position(cast(:severities AS text[]), cast(happened.severity AS text))
               >= array_position(cast(:severities AS text[]), rule.filter ->> 'minSeverity'))
)
INSERT INTO notification (rule_id, event, occurrence, facts)
SELECT told.rule_id, told.event, told.occurrence, told.facts
  FROM told
 ORDER BY told.at, told.occurrence
    ON CONFLICT (rule_id, occurrence) DO NOTHING
