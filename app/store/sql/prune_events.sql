-- prune_events: remove events nobody can resume from any more, in small bites: a long delete would
-- hold back vacuum. SKIP LOCKED: every worker prunes.
DELETE FROM event
 WHERE event.id IN (
       SELECT old.id
         FROM event AS old
        WHERE old.at < now() - make_interval(secs => :older_than_seconds)
        ORDER BY old.at
        LIMIT :limit
          FOR UPDATE SKIP LOCKED)
