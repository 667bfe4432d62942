-- note_progress: how far running runs are. Conditional on the fencing token.
UPDATE run
   SET progress = noted.progress,
       progress_message = noted.message,
       revision = run.revision + 1
  FROM unnest(cast(:run_id AS uuid[]), cast(:fencing_token AS bigint[]),
              cast(:progress AS double precision[]), cast(:message AS text[]))
       AS noted (run_id, fencing_token, progress, message)
 WHERE run.id = noted.run_id
   AND run.fencing_token = noted.fencing_token
   AND run.state = 'RUNNING'
RETURNING run.id, run.project_id, run.schedule_id, run.revision
