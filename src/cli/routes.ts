/** `infergate routes`: shows where the calls of each route go, and changes the weights of a split, and what is copied to a second pool. */
import { Command } from 'commander'
import {
  type AdminClientOptions,
  AdminError,
  createAdminClient,
  reportingErrors,
  withAdminOptions,
} from './admin-client.ts'
import { type RouteRow, readRoute, readRoutes } from './answers.ts'
import { columns } from './columns.ts'

interface RoutesOptions extends AdminClientOptions {
  readonly json?: boolean
}

const HELP = {
  list: `
  STICKY   what calls have in common that go to one pool: what they ask (input), who asks (caller), or nothing (none)
  WEIGHT   in force, and in brackets what the YAML says, if that is something else
  SHARE    of the calls

Of routes with a second pool that gets copies of calls (mirror), since the start: how many were sent and have failed, were not
sent though they were to be (DROPPED), and how many answers were the same as the call's, or were not.

Examples:
  infergate routes list
  infergate routes list --json | jq '.routes[].pools'`,
  weights: `
Pools that are not named keep their weights; 0 gives a pool nothing. The weights are in force in every worker of the
gateway at once, and hold until the YAML says another split for the route, or the gateway is started again. Other
gateways are told by themselves.

Examples:
  infergate routes weights ranker v1=90 v2=10
  infergate routes weights ranker v2=0`,
  mirror: `
What is not given stays as it is. It is in force in every worker of the gateway at once, and holds until the YAML says
another mirror for the route, or the gateway is started again. Other gateways are told by themselves.

Examples:
  infergate routes mirror ranker --share 10%
  infergate routes mirror ranker --pool v2 --compare
  infergate routes mirror ranker --share 0%`,
}

/** The command with its subcommands, for the program to mount. */
export function routesCommand(): Command {
  const command = new Command('routes').description(
    'show where calls go, and change the weights of splits and what is copied',
  )
  command.addCommand(listCommand())
  command.addCommand(weightsCommand())
  command.addCommand(mirrorCommand())
  return command
}

function listCommand(): Command {
  return withAdminOptions(new Command('list'))
    .description('every route with its pools')
    .option('--json', 'the answer of the admin API, for programs')
    .addHelpText('after', HELP.list)
    .action((options: RoutesOptions) =>
      reportingErrors(async () => {
        const client = await createAdminClient(options)
        print(await client.send('GET', '/api/v1/routes', readRoutes), options, ({ routes }) => routes)
      }),
    )
}

function weightsCommand(): Command {
  return withAdminOptions(new Command('weights'))
    .description('change the weights of a route')
    .argument('<route>', 'a route of the settings that has a split')
    .argument('<pool=weight...>', 'the pools whose weights change')
    .option('--json', 'the answer of the admin API, for programs')
    .addHelpText('after', HELP.weights)
    .action((route: string, given: readonly string[], options: RoutesOptions) =>
      reportingErrors(async () => {
        const weights = Object.fromEntries(given.map(weightIn))
        const client = await createAdminClient(options)
        const path = `/api/v1/routes/${encodeURIComponent(route)}`
        print(await client.send('PATCH', path, readRoute, { weights }), options, (changed) => [changed])
      }),
    )
}

interface MirrorOptions extends RoutesOptions {
  readonly pool?: string
  readonly share?: string
  readonly compare?: boolean
}

function mirrorCommand(): Command {
  return withAdminOptions(new Command('mirror'))
    .description('change which pool gets copies of the calls of a route, and how many')
    .argument('<route>', 'a route of the settings that has a mirror or a split')
    .option('--pool <pool>', 'a pool that the route names')
    .option('--share <percent>', 'of the calls that go to a backend, such as 10%; 0%: none')
    .option('--compare', 'compare the two answers to a call')
    .option('--no-compare', 'do not')
    .option('--json', 'the answer of the admin API, for programs')
    .addHelpText('after', HELP.mirror)
    .action((route: string, { pool, share, compare, ...options }: MirrorOptions) =>
      reportingErrors(async () => {
        const mirror = {
          ...(pool !== undefined && { pool }),
          ...(share !== undefined && { share: shareIn(share) }),
          ...(compare !== undefined && { compare }),
        }
        const client = await createAdminClient(options)
        const path = `/api/v1/routes/${encodeURIComponent(route)}`
        print(await client.send('PATCH', path, readRoute, { mirror }), options, (changed) => [changed])
      }),
    )
}

function shareIn(text: string): number {
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(text)?.[1]
  const share = Number(percent) / 100
  if (!(share >= 0 && share <= 1))
    throw new AdminError(`"${text}" is no share: write a part of a hundred from 0% to 100%, such as 10%`)
  return share
}

function weightIn(text: string): [pool: string, weight: number] {
  const [, pool = '', weight] = /^([^=]+)=(\d+(?:\.\d+)?)$/.exec(text) ?? []
  if (weight === undefined) throw new AdminError(`"${text}" is no weight: write POOL=NUMBER, such as v2=10`)
  return [pool, Number(weight)]
}

function print<T>(answer: T, { json }: RoutesOptions, routesIn: (answer: T) => readonly RouteRow[]): void {
  const lines = json ? [JSON.stringify(answer, null, 2)] : table(routesIn(answer))
  process.stdout.write(`${lines.join('\n')}\n`)
}

function table(routes: readonly RouteRow[]): readonly string[] {
  if (routes.length === 0) return ['the YAML has no routes: each embedded model brings its own']
  const mirrored = routes.flatMap(mirrorRow)
  return [
    ...columns(['ROUTE', 'STICKY', 'POOL', 'WEIGHT', 'SHARE'], routes.flatMap(rowsOf)),
    ...(mirrored.length > 0 ? ['', ...columns(MIRROR_HEAD, mirrored)] : []),
  ]
}

const MIRROR_HEAD = [
  'ROUTE',
  'MIRROR',
  'SHARE',
  'COMPARES',
  'SENT',
  'FAILED',
  'DROPPED',
  'EQUAL',
  'DIFFERENT',
]

function mirrorRow({ route, mirror }: RouteRow): string[][] {
  if (!mirror) return []
  const { pool, share, compare, counts } = mirror
  const dropped = Object.values(counts?.dropped ?? {}).reduce((sum, count) => sum + count, 0)
  const told = counts && [counts.sent, counts.failed, dropped, counts.equal, counts.different]
  const percent = `${Number((share * 100).toPrecision(3))} %`
  return [[route, pool, percent, compare ? 'yes' : 'no', ...(told ?? []).map(String)]]
}

function rowsOf({ route, sticky = '-', pools }: RouteRow): string[][] {
  const total = pools.reduce((sum, { weight = 1 }) => sum + weight, 0)
  return pools.map(({ pool, weight, configured }) => {
    const isChanged = weight !== configured
    const shown = weight === undefined ? '-' : `${weight}${isChanged ? ` (${configured})` : ''}`
    const share = Number((((weight ?? 1) / total) * 100).toPrecision(3))
    return [route, sticky, pool, shown, `${share} %`]
  })
}
