/**
 * The documentation says what the code does: error codes, metrics, commands, admin calls and log events are
 * compared with the code both ways. That links lead somewhere is a step of `npm run check`.
 */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { run } from '../../src/cli/index.ts'
import { ROUTES } from '../../src/control/admin/api.ts'
import { FAULTS } from '../../src/core/errors.ts'
import { CHOOSING_FIELDS, CREDENTIAL_FIELDS } from '../../src/core/fields.ts'
import { FAMILIES } from '../../src/obs/families.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

/** The cells of every table row whose first cell is a name in backticks. */
function rows(markdown: string): string[][] {
  return markdown
    .split('\n')
    .filter((line) => /^\| `[^`]+` \|/.test(line))
    .map((line) =>
      line
        .slice(1, line.lastIndexOf('|'))
        .split(/ \|(?= )/)
        .map((cell) => cell.trim()),
    )
}

/** The text within backticks. */
function code(cell: string | undefined): string {
  return /^`([^`]+)`/.exec(cell ?? '')?.[1] ?? cell ?? ''
}

function sorted(values: Iterable<string | undefined>): string[] {
  return [...values].map(String).sort((a, b) => (a < b ? -1 : 1))
}

function sources(): string[] {
  return globSync('src/**/*.ts', { cwd: ROOT }).map(read)
}

test('errors.md has every fault as the table in the code has it, and no other', () => {
  const written = rows(read('docs/reference/errors.md')).map(([name, status, blame, retry, proxy]) => [
    code(name),
    { status: Number(status), blame, retry, proxyStatus: code(proxy) },
  ])
  expect(Object.fromEntries(written)).toEqual(FAULTS)
})

test('headers.md has every field that says who asks or what is asked', () => {
  const headers = read('docs/reference/headers.md')
  for (const name of [...CREDENTIAL_FIELDS, ...CHOOSING_FIELDS]) expect(headers).toContain(`\`${name}\``)
})

describe('metrics.md', () => {
  const written = new Map(
    rows(read('docs/reference/metrics.md')).map(([name, type, labels]) => [
      code(name),
      { type, labels: sorted([...(labels ?? '').matchAll(/`([^`]+)`/g)].map(([, label]) => label)) },
    ]),
  )

  test('has every metric that the sources name, and no other', () => {
    const named = new Set(sources().flatMap((text) => text.match(/\binfergate_[a-z0-9_]*[a-z0-9]\b/g) ?? []))
    expect(sorted(written.keys())).toEqual(sorted(named))
  })

  // That a gateway tells exactly these is found out in e2e/pool-status.test.ts.
  test('has their types and labels', () => {
    const known = Object.entries(FAMILIES).map(([name, [type, labels]]) => [
      name,
      { type, labels: sorted(labels.split(' ').filter(Boolean)) },
    ])
    expect(Object.fromEntries(written)).toEqual(Object.fromEntries(known))
  })
})

describe('cli.md', () => {
  afterEach(() => {
    vi.restoreAllMocks()
  })

  /** What `--help` prints. It ends the process, so that end is turned into an error and its traces are removed. */
  async function help(command: readonly string[]): Promise<string> {
    let text = ''
    const exitCode = process.exitCode
    vi.spyOn(process, 'exit').mockImplementation(() => {
      throw new Error('the help has been printed')
    })
    vi.spyOn(process.stderr, 'write').mockReturnValue(true)
    vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
      text += String(chunk)
      return true
    })
    await run(['node', 'infergate', ...command, '--help'])
    vi.restoreAllMocks()
    process.exitCode = exitCode
    return text
  }

  /** Every command with its options, as the help says. */
  async function commands(path: readonly string[] = []): Promise<[name: string, options: string[]][]> {
    const text = await help(path)
    const [options = '', listed = ''] = text.split(/^Commands:$/m)
    // Examples stand behind it, and begin with two blanks as well.
    const [list = ''] = listed.trimStart().split('\n\n')
    const names = [...`  ${list}`.matchAll(/^ {2}([a-z][\w-]*)/gm)].map(([, name]) => name as string)
    const flags = [...options.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(([, flag]) => flag as string)
    const own: [string, string[]][] =
      path.length === 0 ? [] : [[path.join(' '), sorted(flags.filter((flag) => flag !== '--help'))]]
    const below = []
    for (const name of names.filter((name) => name !== 'help'))
      below.push(...(await commands([...path, name])))
    return [...own, ...below]
  }

  test('has every command with all of its options, and no other', async () => {
    const sections = read('docs/reference/cli.md')
      .split(/^## infergate /m)
      .slice(1)
    const written = sections.map((section) => [
      section.slice(0, section.indexOf('\n')),
      sorted(rows(section).map(([option]) => code(option).split(' ')[0])),
    ])
    expect(Object.fromEntries(written)).toEqual(Object.fromEntries(await commands()))
  })
})

test('admin-api.md has every call of the admin API, and no other', () => {
  const written = [...read('docs/reference/admin-api.md').matchAll(/^### ([A-Z]+ \/\S*)$/gm)].map(
    ([, call]) => call,
  )
  expect(sorted(written)).toEqual(sorted(ROUTES.map(({ method, path }) => `${method} ${path}`)))
})

test('operations.md has every event of the log, and no other', () => {
  const LOGGED =
    /(?:\.(?:info|warn|error|debug)|\])\(\s*'([a-z-]+(?:\.[a-z-]+)+)'|\bevent: '([a-z-]+(?:\.[a-z-]+)+)'/g
  const logged = sources().flatMap((text) => [...text.matchAll(LOGGED)].map(([, a, b]) => a ?? b))
  const section =
    read('docs/guide/operations.md')
      .split(/^## The log$/m)[1]
      ?.split(/^## /m)[0] ?? ''
  expect(sorted(rows(section).map(([event]) => code(event)))).toEqual(sorted(new Set(logged)))
})
