/**
 * Clients that people use, in scripts of a few lines: each asks its cases at the base URL it is given and prints a line of
 * JSON for each, `{"case": …, "answer": …, "cached": …}`; `cached` says how many of its calls are promised to be hits when
 * they come again. What a library warns of goes to standard error. The script runs directly, then twice through each gateway,
 * in a process of its own each time.
 */
import { sameValue } from './compare.ts'
import type { Gateway } from './gateway.ts'
import type { Output } from './run.ts'
import type { Session } from './session.ts'

/** By then every worker has reported. */
const COUNTED_MS = 10_000
/** For one run of a script. */
export const SCRIPT_MS = 110_000

export interface Client {
  /** The library, for the page. */
  readonly group: string
  /** Runs the script with a base URL. */
  run(base: string): Promise<Output>
  readonly direct: string
  readonly gateways: readonly Gateway[]
}

interface Case {
  readonly case: string
  readonly answer: unknown
  readonly cached?: number
}

interface Said {
  readonly cases: readonly Case[]
  readonly warnings: string
}

/** One check a case, one for the warnings, and one for the hits of the second time. */
export async function tryClient(session: Session, client: Client): Promise<void> {
  if (session.recording) return
  const { group, direct, gateways } = client
  const wanted = await casesOf(client, direct)
  const got: { name: string; said: Said }[] = []
  const missed: string[] = []
  for (const gateway of gateways) {
    got.push({ name: `${gateway.name}, first`, said: await casesOf(client, gateway.url) })
    const before = await gateway.hits()
    const again = await casesOf(client, gateway.url)
    got.push({ name: `${gateway.name}, again`, said: again })
    const promised = again.cases.reduce((sum, { cached = 0 }) => sum + cached, 0)
    const hits = await hitsSince(gateway, before, promised)
    if (hits < promised) missed.push(`${gateway.name}: ${hits} of ${promised} promised hits`)
  }
  for (const { case: name, answer } of wanted.cases) {
    await session.check(group, name, async () => {
      const other = got.find(({ said }) => !sameValue(answer, answerOf(said, name)))
      return (
        other && `${other.name}: ${JSON.stringify(answerOf(other.said, name))} for ${JSON.stringify(answer)}`
      )
    })
  }
  await session.check(group, 'warns of nothing that it does not warn of directly', async () => {
    const other = got.find(({ said }) => said.warnings !== wanted.warnings)
    return other && `${other.name}: ${other.said.warnings || 'nothing'} for ${wanted.warnings || 'nothing'}`
  })
  await session.check(group, 'its repeated calls come from the cache', async () => missed[0])
}

/** On a busy machine the metrics may lack for a moment what a worker has counted last: a late worker's last report stands. */
async function hitsSince(gateway: Gateway, before: number, promised: number): Promise<number> {
  const until = performance.now() + COUNTED_MS
  for (;;) {
    const hits = (await gateway.hits()) - before
    if (hits >= promised || performance.now() >= until) return hits
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

const answerOf = ({ cases }: Said, name: string): unknown => cases.find((one) => one.case === name)?.answer

/** Runs the script. Rejects where it says nothing. */
export async function casesOf({ group, run }: Pick<Client, 'group' | 'run'>, base: string): Promise<Said> {
  const { stdout, stderr } = await run(base)
  const cases = stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Case)
  if (cases.length === 0) throw new Error(`${group} printed no case: ${stdout}${stderr}`)
  // The port is the one thing that differs by itself.
  return { cases, warnings: stderr.replaceAll(base, 'BASE').replaceAll(new URL(base).host, 'HOST') }
}
