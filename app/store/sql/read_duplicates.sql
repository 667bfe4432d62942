-- read_duplicates: definitions that more than one schedule has, the most common first, each with a
-- few of the schedules. The index on definitions alone answers the grouping.
SELECT twins.definition_hash, twins.schedules,
       ARRAY (SELECT schedule.id
                FROM schedule
               WHERE schedule.project_id = :project_id
                 AND schedule.definition_hash = twins.definition_hash
                 AND schedule.archived_at IS NULL
               LIMIT :most_members) AS member_ids
  FROM (SELECT schedule.definition_hash, count(*) AS schedules
          FROM schedule
         WHERE schedule.project_id = :project_id
           AND schedule.archived_at IS NULL
         GROUP BY schedule.definition_hash
        HAVING count(*) > 1
         ORDER BY count(*) DESC, schedule.definition_hash
         LIMIT :limit) AS twins
 ORDER BY twins.schedules DESC, twins.definition_hash
