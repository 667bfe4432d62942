-- insert_event: keep what one transaction changed, for those who follow it.
INSERT INTO event (project_id, subject, change, entity_ids, revisions, parent_ids)
VALUES (:project_id, :subject, :change, cast(:entity_ids AS uuid[]), cast(:revisions AS integer[]),
        cast(:parent_ids AS uuid[]))
