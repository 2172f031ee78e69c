/** `infergate rollout`: moves the calls of a route from one pool to another in steps, and back. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import {
  type AdminClient,
  type AdminClientOptions,
  AdminError,
  createAdminClient,
  reportingErrors,
  withAdminOptions,
} from './admin-client.ts'
import { type RolloutRow, readDryRun, readRollout, readRollouts } from './answers.ts'
import { columns } from './columns.ts'

interface CommonOptions extends AdminClientOptions {
  readonly json?: boolean
}

interface StartOptions extends CommonOptions {
  readonly to?: string
  readonly from?: string
  readonly steps?: string
  readonly hold?: string
  readonly minSample?: string
  readonly maxErrors?: string
  readonly maxLatency?: string
  readonly maxDifferences?: string
  readonly compare?: string
  readonly stepTimeout?: string
  readonly warm: boolean
  readonly dryRun?: boolean
  readonly follow?: boolean
}

const HELP = {
  start: `
The route needs a split with both pools, such as split: [{ pool: v1, weight: 100 }, { pool: v2, weight: 0 }].
First the hot keys are asked of the new pool, then it answers a share of the misses beside the old one and the answers are compared, then its
weight grows step by step. Failures, latency and differences are tested all the time: a pool within the limits is stopped in at most 1 of
100 rollouts, and one that fails 5 percentage points more often is found before it has 5 % of the calls. It goes back by itself.

  --max-errors      how much larger a share of its calls may fail: +0.5% is half a percentage point more than of the old pool's
  --max-latency     how many times as long its answers may take, at the median and at the 95th percentile
  --max-differences the share of compared answers that may differ; left out, they are counted and told, but not judged
  --min-sample      least calls of the new pool in each step; left out: as many as finding a bad one takes

Examples:
  infergate rollout ranker --to v2 --dry-run          what it would do, and how long it would take
  infergate rollout ranker --to v2 --follow           begin, and show each sentence until it is over
  infergate rollout ranker --to v2 --steps 1,5,25,100 --hold 5m --max-differences 0.1%
  infergate rollout status ranker
  infergate rollout pause ranker                      keeps its share, and is still judged; resume has it go on
  infergate rollout back ranker                       the old pool has its calls back, and its answers are still there`,
  status: `
Examples:
  infergate rollout status             the last rollout of each route
  infergate rollout status ranker      one of them, with all that it has said
  infergate rollout status ranker --follow`,
}

/** The command with its subcommands, for the program to mount. */
export function rolloutCommand(): Command {
  const command = withAdminOptions(new Command('rollout'))
    .description('move the calls of a route to another pool, in steps that are judged')
    .argument('<route>', 'a route whose split has both pools')
    .option('--to <pool>', 'the pool that is to have all calls')
    .option('--from <pool>', 'the pool they are taken from; left out: the one with the largest weight')
    .option('--steps <percents>', 'shares of the calls, growing to 100 (default: 1,2,5,10,25,50,100)')
    .option('--hold <time>', 'least time at each step (default: 60s)')
    .option('--min-sample <calls>', 'least calls of the new pool in each step')
    .option('--max-errors <share>', 'how many more may fail (default: +0.5%)')
    .option('--max-latency <factor>', 'how many times as long it may take (default: 1.2x)')
    .option('--max-differences <share>', 'how many answers may differ, such as 0.1%')
    .option(
      '--compare <share>',
      'of the misses, answered by both before the first step; 0: none (default: 20%)',
    )
    .option(
      '--step-timeout <time>',
      'a step without enough calls goes back after this (default: by their rate)',
    )
    .option('--no-warm', 'do not ask the hot keys of the new pool first')
    .option('--dry-run', 'say what would happen, and do nothing')
    .option('--follow', 'show each sentence until it is over; exit code 1 if it goes back')
    .option('--json', 'the answer of the admin API, for programs')
    .enablePositionalOptions()
    .addHelpText('after', HELP.start)
    .action((route: string, options: StartOptions) => reportingErrors(() => start(route, options)))
  command.addCommand(statusCommand())
  command.addCommand(changeCommand('pause', 'paused', 'keep the share as it is; it is still judged'))
  command.addCommand(changeCommand('resume', 'running', 'go on after a pause'))
  const back = 'give the old pool its calls back, also after the rollout is done'
  command.addCommand(changeCommand('back', 'back', back).alias('abort'))
  return command
}

async function start(route: string, options: StartOptions): Promise<void> {
  const client = await createAdminClient(options)
  const { to, dryRun, follow, json } = options
  if (to === undefined)
    throw new AdminError(`say where the calls are to go: infergate rollout ${route} --to POOL`)
  const body = { route, to, ...settingsIn(options) }
  if (dryRun) {
    const plan = await client.send('POST', '/api/v1/rollouts', readDryRun, { ...body, dryRun: 'yes' })
    const lines = [
      `${to} would take the calls of ${route} from ${plan.from}:`,
      ...plan.sentences.map((line) => `  ${line}`),
    ]
    return write(json ? JSON.stringify(plan, null, 2) : lines.join('\n'))
  }
  const begun = await client.send('POST', '/api/v1/rollouts', readRollout, body)
  if (follow) return followTo(client, route, json === true)
  write(
    json
      ? JSON.stringify(begun, null, 2)
      : `${begun.sentence}\ninfergate rollout status ${route} --follow shows how it goes`,
  )
}

function settingsIn(options: StartOptions): Record<string, unknown> {
  const { from, hold, steps, minSample, maxErrors, maxLatency, maxDifferences, compare, stepTimeout } =
    options
  const given = {
    from,
    hold,
    stepTimeout,
    steps: steps?.split(',').map((step) => numberIn(step.replace(/%$/, ''), '--steps')),
    minSample: minSample === undefined ? undefined : numberIn(minSample, '--min-sample'),
    maxErrors: shareIn(maxErrors, '--max-errors'),
    maxLatency:
      maxLatency === undefined ? undefined : numberIn(maxLatency.replace(/x$/, ''), '--max-latency'),
    maxDifferences: shareIn(maxDifferences, '--max-differences'),
    compare: shareIn(compare, '--compare'),
    warm: options.warm ? undefined : 'no',
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

function shareIn(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined
  const [, number, percent] = /^\+?(\d+(?:\.\d+)?)(%?)$/.exec(text) ?? []
  if (number === undefined || (percent === '' && Number(number) !== 0))
    throw new AdminError(`${option} "${text}" is no share: write it with %, such as 0.5%`)
  return Number(number) / 100
}

function numberIn(text: string, option: string): number {
  if (!/^\d+(?:\.\d+)?$/.test(text.trim())) throw new AdminError(`${option}: "${text}" is no number`)
  return Number(text)
}

function statusCommand(): Command {
  return withAdminOptions(new Command('status'))
    .description('show rollouts, and what they say')
    .argument('[route]', 'one of them; left out: all')
    .option('--follow', 'show each sentence until it is over')
    .option('--json', 'the answer of the admin API, for programs')
    .addHelpText('after', HELP.status)
    .action((route: string | undefined, options: CommonOptions & { follow?: boolean }) =>
      reportingErrors(async () => {
        const client = await createAdminClient(options)
        const { json = false } = options
        if (route !== undefined && options.follow) return followTo(client, route, json)
        if (route === undefined) {
          const answer = await client.send('GET', '/api/v1/rollouts', readRollouts)
          return write(json ? JSON.stringify(answer, null, 2) : table(answer.rollouts).join('\n'))
        }
        const found = await client.send('GET', pathOf(route), readRollout)
        write(json ? JSON.stringify(found, null, 2) : told(found).join('\n'))
      }),
    )
}

function changeCommand(name: string, state: string, description: string): Command {
  return withAdminOptions(new Command(name))
    .description(description)
    .argument('<route>', 'the route of the rollout')
    .option('--json', 'the answer of the admin API, for programs')
    .action((route: string, options: CommonOptions) =>
      reportingErrors(async () => {
        const client = await createAdminClient(options)
        const changed = await client.send('PATCH', pathOf(route), readRollout, { state })
        write(options.json ? JSON.stringify(changed, null, 2) : changed.sentence)
      }),
    )
}

const FOLLOW_MS = 1_000

/** Prints what it says, each sentence once, until it is over. */
async function followTo(client: AdminClient, route: string, json: boolean): Promise<void> {
  let last = ''
  for (;;) {
    const found = await client.send('GET', pathOf(route), readRollout)
    const fresh = found.history.filter(({ at, sentence }) => `${at} ${sentence}` > last)
    for (const said of fresh) write(json ? JSON.stringify(said) : line(said))
    const newest = found.history.at(-1)
    if (newest) last = `${newest.at} ${newest.sentence}`
    if (found.isOver) {
      if (found.phase === 'back') process.exitCode = 1
      return
    }
    await sleep(FOLLOW_MS)
  }
}

function pathOf(route: string): string {
  return `/api/v1/rollouts/${encodeURIComponent(route)}`
}

function told({ history, sentence }: RolloutRow): string[] {
  const lines = history.map(line)
  return history.at(-1)?.sentence === sentence ? lines : [...lines, `now: ${sentence}`]
}

function line({ at, sentence }: { readonly at: string; readonly sentence: string }): string {
  return `${at.slice(11, 19)} ${sentence}`
}

function table(rollouts: readonly RolloutRow[]): readonly string[] {
  if (rollouts.length === 0) return ['there was no rollout yet: infergate rollout ROUTE --to POOL begins one']
  const rows = rollouts.map(({ route, from, to, phase, isPaused, sharePercent, sentence }) => [
    route,
    `${from} → ${to}`,
    isPaused ? 'paused' : phase,
    `${sharePercent} %`,
    sentence,
  ])
  return columns(['ROUTE', 'POOLS', 'PHASE', 'SHARE', 'NOW'], rows)
}

function write(text: string): void {
  process.stdout.write(`${text}\n`)
}
