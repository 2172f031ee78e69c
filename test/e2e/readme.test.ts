/**
 * The quickstarts of the README and of docs/guide/quickstart.md, run as they are printed: on their own ports, in a network of their
 * own, so that nothing else on the machine is in their way. What `Cache-Status` they print is what they show.
 */
import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { readMarkdown } from '../../scripts/site/markdown.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** A process that would stay, such as a gateway, must not hold up the one after it, nor outlive the test. */
const DEADLINE_S = 150
const STAYS = /^npm start\b|\b(?:model-server|serve)\b/
/** A network and processes of its own: what is left of them ends with the shell. */
const ALONE = [
  '--net',
  '--pid',
  '--fork',
  '--kill-child',
  ...(process.getuid?.() === 0 ? [] : ['--map-root-user']),
]

const hasNetworks = canBeAlone()

interface Walk {
  readonly name: string
  /** One shell block each. */
  readonly terminals: readonly string[]
  /** The lines with `Cache-Status` that are shown. */
  readonly shown: readonly string[]
}

/** One walk a section, of those that have commands. */
function walksOf(file: string): Walk[] {
  const { tokens } = readMarkdown(readFileSync(join(ROOT, file), 'utf8'))
  const walks: { name: string; terminals: string[]; shown: string[] }[] = []
  for (const [at, token] of tokens.entries()) {
    if (token.type === 'heading_open' && token.tag === 'h2')
      walks.push({ name: `${file}: ${tokens[at + 1]?.content}`, terminals: [], shown: [] })
    if (token.type !== 'fence') continue
    if (token.info.trim() === 'sh') walks.at(-1)?.terminals.push(token.content)
    else walks.at(-1)?.shown.push(...cacheStatuses(token.content))
  }
  return walks.filter(({ terminals, shown }) => terminals.length > 0 && shown.length > 0)
}

/** What is kept for how long differs from run to run. */
const cacheStatuses = (printed: string): string[] =>
  [...printed.matchAll(/^Cache-Status: infergate;.*$/gim)].map(([line]) =>
    line.trim().replace(/ttl=\d+/, 'ttl=N'),
  )

/** All terminals as one script: what stays is left running, the rest is waited for. */
function scriptOf(terminals: readonly string[]): string {
  const lines = terminals.join('').split('\n')
  return ['set -e', ...lines.map((line) => (STAYS.test(line) ? `${line} </dev/null >&2 &` : line))].join('\n')
}

async function walk(
  terminals: readonly string[],
): Promise<{ code: number | null; out: string; log: string }> {
  const script = `ip link set lo up\n${scriptOf(terminals)}`
  const child = spawn('timeout', ['-k', '5', `${DEADLINE_S}`, 'unshare', ...ALONE, 'bash', '-c', script], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    // As in a shell of somebody who has come from nowhere.
    env: Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^(npm_|INFERGATE_|VITEST|NODE_OPTIONS)/i.test(name)),
    ),
  })
  const [out, log, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((resolve) => child.once('exit', resolve)),
  ])
  return { code, out, log }
}

function canBeAlone(): boolean {
  const tried = spawnSync('unshare', [...ALONE, 'ip', 'link', 'set', 'lo', 'up'], { encoding: 'utf8' })
  if (tried.status === 0) return true
  const why = `no network of one's own (${tried.error?.message ?? tried.stderr.trim()})`
  if (process.env['CI'] && process.platform === 'linux')
    throw new Error(`${why}: install util-linux and iproute2`)
  console.warn(`${why}: the quickstarts are not tried`)
  return false
}

const walks = walksOf('README.md')

test('there are three', () => expect(walks.map(({ name }) => name)).toHaveLength(3))

describe.skipIf(!hasNetworks)('as printed', () => {
  test.each(walks)('$name', { timeout: (DEADLINE_S + 30) * 1_000 }, async ({ terminals, shown }) => {
    const { code, out, log } = await walk(terminals)
    // A server of ours may add a line of its own below.
    expect({ code, statuses: cacheStatuses(out).slice(0, shown.length) }, log).toEqual({
      code: 0,
      statuses: shown.map((line) => cacheStatuses(line)[0]),
    })
  })

  test('a command that fails is found', { timeout: 60_000 }, async () => {
    const { code } = await walk(['curl -s http://127.0.0.1:8080/\n'])
    expect(code).toBe(7)
  })
})
