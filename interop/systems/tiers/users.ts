/** Servers that know users: one with the rights of the guide, one who is refused. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { ask, isHit } from '../../suite/ask.ts'
import { eventually } from '../../suite/eventually.ts'
import { json } from '../../suite/exchanges.ts'
import type { Gateway } from '../../suite/gateway.ts'
import { startModelServer } from '../../suite/model-server.ts'
import { ROOT } from '../../suite/places.ts'
import { run } from '../../suite/run.ts'
import type { Session } from '../../suite/session.ts'
import { TIMES, type TierSettings } from './failover.ts'
import { type RespProgram, startMemcached, startResp } from './servers.ts'

const GUIDE = join(ROOT, 'docs', 'guide', 'shared-tiers.md')
const PASSWORD = 's3cret'
const QUICK = { timeoutMs: 30_000 }

/** Side by side. */
export async function tryUsers(session: Session, programs: readonly RespProgram[]): Promise<void> {
  const backend = await startModelServer(session)
  await session.together(
    ...programs.map((program) => (session: Session) => tryAcl(session, program, backend)),
    (session) => trySasl(session, backend),
  )
}

/** A user by the line of the guide, and one who lacks a command of it. */
async function tryAcl(session: Session, program: RespProgram, backend: string): Promise<void> {
  const called = program.name.toLowerCase()
  const server = await startResp(session, program, { args: ['--save', ''] })
  const [, line = ''] =
    /```\n(ACL SETUSER infergate [^`]*~ig1[^`]*)```/.exec(readFileSync(GUIDE, 'utf8')) ?? []
  const guided = line.replaceAll('\\\n', ' ').trim().replace('>PASSWORD', `>${PASSWORD}`)
  for (const user of [guided, `${guided.replace(' infergate ', ' other ')} -zadd`]) {
    const said = await server.says(user)
    if (!said.startsWith('+OK')) throw new Error(`${user}: ${said}`)
  }
  const tier = (user: string): TierSettings => ({
    name: called,
    type: 'redis',
    url: `redis://${user}:${PASSWORD}@${server.address}`,
    ...TIMES,
  })
  await tryPair(session, {
    group: `${program.name} with ACL users`,
    right: 'a user with the rights of the guide keeps answers and finds them',
    wrong: 'one who lacks a command ends the start, with its name',
    reason: 'the user may not use the command ZADD (NOPERM)',
    start: (is) =>
      startGateway(session, `${called}-${is}`, tier(is === 'right' ? 'infergate' : 'other'), backend),
  })
}

/** Memcached's users are kept by a program of `sasl2-bin`. */
async function trySasl(session: Session, backend: string): Promise<void> {
  const folder = join(session.folder, 'sasl')
  const database = join(folder, 'users')
  mkdirSync(folder)
  const lines = [
    'mech_list: plain',
    'pwcheck_method: auxprop',
    'auxprop_plugin: sasldb',
    `sasldb_path: ${database}`,
  ]
  writeFileSync(join(folder, 'memcached.conf'), `${lines.join('\n')}\n`)
  const user = ['-p', '-c', '-a', 'memcached', '-u', hostname(), '-f', database, 'gateway']
  try {
    await run('saslpasswd2', user, { ...QUICK, input: PASSWORD })
  } catch {
    session.uses('SASL', 'not tried: saslpasswd2 is not installed (Debian: sasl2-bin)')
    return
  }
  const env = { SASL_CONF_PATH: folder }
  const { address } = await startMemcached(session, { args: ['-S'], env, shown: 'memcached -S' })
  const tier = (password: string): TierSettings => ({
    name: 'memcached',
    type: 'memcached',
    servers: [address],
    username: 'gateway',
    password,
    ...TIMES,
  })
  await tryPair(session, {
    group: 'Memcached with SASL',
    right: 'a user with the right password keeps answers and finds them',
    wrong: 'a wrong password ends the start, with the reason',
    reason: 'the user name or the password is wrong (SASL)',
    start: (is) => startGateway(session, `sasl-${is}`, tier(is === 'right' ? PASSWORD : 'wrong'), backend),
  })
}

interface Pair {
  readonly group: string
  /** What holds of the user who has the rights. */
  readonly right: string
  /** What holds of the one who has not. */
  readonly wrong: string
  /** What the latter's gateway says. */
  readonly reason: string
  start(is: 'right' | 'wrong'): Promise<Gateway>
}

async function tryPair(session: Session, { group, right, wrong, reason, start }: Pair): Promise<void> {
  await session.check(group, right, async () => {
    const gateway = await start('right')
    const seen = await eventually(() => findsKept(gateway), QUICK)
    await gateway.kill()
    return seen
  })
  await session.check(group, wrong, async () => {
    const said = await start('wrong').then(
      () => 'it started',
      (error: unknown) => String(error),
    )
    return said.includes(reason) ? undefined : said
  })
}

/** The tier is the only one, so a hit is from there. */
const startGateway = (
  session: Session,
  name: string,
  tier: TierSettings,
  backend: string,
): Promise<Gateway> =>
  session.gateway({
    name,
    upstream: backend,
    settings: {
      cache: { tiers: [tier] },
      pools: { main: { backends: [{ url: backend }] } },
      routes: [{ pool: 'main', cache: {} }],
    },
  })

async function findsKept(gateway: Gateway): Promise<undefined> {
  const answer = await ask(gateway.url, { path: '/v1/models/sum:predict', ...json({ instances: [1] }) })
  if (!isHit(answer)) throw new Error(`no hit, but ${answer.status} ${answer.fields['cache-status']}`)
  return undefined
}
