-- read_records: what schedules have recorded that may come again, each since an instant of its own:
-- occurrences whose local time is still to come, or is one of some, or that coalesced from several,
-- and stretches that reach beyond that instant. Nothing is locked; the caller holds the schedules.
SELECT run.schedule_id, run.scheduled_local, run.other_locals, run.scheduled_for, run.range_end
  FROM unnest(cast(:schedule_id AS uuid[]), cast(:since AS timestamptz[]), cast(:local_now AS text[]))
       AS wanted (schedule_id, since, local_now)
  JOIN run ON run.schedule_id = wanted.schedule_id
          AND run.cause IN ('SCHEDULE', 'CATCH_UP')
          AND run.scheduled_for > wanted.since
 WHERE run.scheduled_local COLLATE "C" > wanted.local_now
    OR run.scheduled_local = ANY (cast(:among AS text[]))
    OR run.other_locals IS NOT NULL
 UNION
SELECT run.schedule_id, run.scheduled_local, run.other_locals, run.scheduled_for, run.range_end
  FROM unnest(cast(:schedule_id AS uuid[]), cast(:since AS timestamptz[]))
       AS wanted (schedule_id, since)
  JOIN run ON run.schedule_id = wanted.schedule_id
          AND run.range_end > wanted.since
 WHERE run.cause IN ('SCHEDULE', 'CATCH_UP')
   AND run.scheduled_local IS NOT NULL
