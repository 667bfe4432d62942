/**
 * The tabs a newcomer finds open: one conversation from "who am I" to watching runs arrive.
 *
 * The documents are files, so that the tests check each one against schema.graphql.
 */
import schedules from '../examples/schedules.graphql';
import createJob from '../examples/create-job.graphql';
import createJobVariables from '../examples/create-job.json';
import createSchedule from '../examples/create-schedule.graphql';
import createScheduleVariables from '../examples/create-schedule.json';
import watchRuns from '../examples/watch-runs.graphql';
import watchScheduler from '../examples/watch-scheduler.graphql';
import explainCron from '../examples/explain-cron.graphql';
import explainCronVariables from '../examples/explain-cron.json';
import triggerSchedule from '../examples/trigger-schedule.graphql';
import triggerScheduleVariables from '../examples/trigger-schedule.json';

export const examples = [
  tab(schedules),
  tab(createJob, createJobVariables),
  tab(createSchedule, createScheduleVariables),
  tab(watchRuns),
  tab(watchScheduler),
  tab(explainCron, explainCronVariables),
  tab(triggerSchedule, triggerScheduleVariables),
];

function tab(query, variables) {
  return { query, variables: variables && JSON.stringify(variables, null, 2) };
}
