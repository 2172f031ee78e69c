/** Every YAML in the guide and the README can be copied: it is a whole file that `infergate check` takes without a word. */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { formatProblem, parseSettings } from '../../src/config/load.ts'
import { readYaml } from '../../src/config/yaml.ts'
import { backendsIn } from '../../src/control/discovery/file.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PAGES = ['README.md', ...globSync('docs/guide/**/*.md', { cwd: ROOT })]
/** A block of its own, or a file that a command writes. */
const YAML = /^```ya?ml\n([^]*?)^```$|<<'YAML'\n([^]*?)^YAML$/gm

const blocks = PAGES.flatMap((page) => {
  const text = readFileSync(join(ROOT, page), 'utf8')
  return [...text.matchAll(YAML)].map(({ 1: block, 2: written, index }) => {
    // The command beside it makes the folder.
    const yaml = (block ?? written ?? '').replace('to: predictions,', 'to: .,')
    const line = text.slice(0, index).split('\n').length
    // A command writes its file where it runs: in the folder of the clone.
    const file = join(ROOT, block === undefined ? '.' : 'config', 'guide.yaml')
    return { at: `${page}:${line}`, yaml, file }
  })
})

test.each(blocks)('$at', ({ yaml, file }) => {
  // A list of backends for discovery says its own name.
  if (/^# \S+-backends\.yaml\b/.test(yaml)) {
    const read = readYaml(yaml, {})
    expect(backendsIn('yaml' in read ? read.yaml.value : undefined).length).toBeGreaterThan(0)
    return
  }
  // Objects of Kubernetes are tried by `npm run interop kubernetes`.
  if (yaml.startsWith('apiVersion:')) return
  const variables = [...yaml.matchAll(/\$\{([A-Z_]+)\}/g)].map(([, name = '']) => [name, 'x'.repeat(32)])
  const read = parseSettings(yaml, file, Object.fromEntries(variables))
  expect('problems' in read ? read.problems.map(formatProblem) : read.warnings.map(formatProblem)).toEqual([])
})

test('there are some', () => expect(blocks.length).toBeGreaterThan(7))

test('the columns of `infergate backends list` are those that it prints', () => {
  const source = readFileSync(join(ROOT, 'src/cli/backends.ts'), 'utf8')
  const head = [...(/const head = \[(.*?)\]/s.exec(source)?.[1] ?? '').matchAll(/'([A-Z]+)'/g)].map(
    ([, name]) => name,
  )
  expect(head).toContain('CALLS')
  const shown = [...PAGES, ...globSync('docs/reference/*.md', { cwd: ROOT })].flatMap((page) =>
    readFileSync(join(ROOT, page), 'utf8')
      .split('\n')
      .filter((line) => /^POOL +ID +/.test(line)),
  )
  expect(shown.length).toBeGreaterThan(1)
  // Where one of them takes gRPC there is one more.
  for (const line of shown) expect([head, head.toSpliced(-1, 0, 'GRPC')]).toContainEqual(line.split(/\s+/))
  for (const page of PAGES) expect(readFileSync(join(ROOT, page), 'utf8')).not.toContain('IN FLIGHT')
})
