/**
 * Every YAML that is shipped resolves to what test/golden says. After a wanted change:
 * UPDATE_GOLDEN=1 npm test -- test/unit/config/golden.test.ts, then `npm run fix`, and read the diff.
 */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatProblem, loadSettings } from '../../../src/config/load.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..')
const GOLDEN = join(ROOT, 'test', 'golden')

const yamls = ['', 'examples'].flatMap((folder) =>
  readdirSync(join(ROOT, 'config', folder))
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => join(folder, name)),
)

let home = ''

beforeAll(() => {
  // In a folder of its own, so that neither the machine's paths nor a missing model decide.
  home = mkdtempSync(join(tmpdir(), 'infergate-golden-'))
  cpSync(join(ROOT, 'config'), join(home, 'config'), { recursive: true })
  mkdirSync(join(home, 'models', 'sentences'), { recursive: true })
  writeFileSync(join(home, 'models', 'digits.onnx'), '')
})

afterAll(() => rmSync(home, { recursive: true, force: true }))

describe('the shipped configuration', () => {
  it('has the default and the seventeen examples', () => {
    expect(yamls.toSorted()).toEqual([
      'examples/batching.yaml',
      'examples/callers.yaml',
      'examples/embeddings.yaml',
      'examples/jwt.yaml',
      'examples/memcached.yaml',
      'examples/minimal.yaml',
      'examples/model-stores.yaml',
      'examples/openai.yaml',
      'examples/prediction-log.yaml',
      'examples/registered-pool.yaml',
      'examples/sentinel.yaml',
      'examples/shared-scope.yaml',
      'examples/static-pool.yaml',
      'examples/tls.yaml',
      'examples/torchserve.yaml',
      'examples/two-tier.yaml',
      'examples/workers.yaml',
      'infergate.yaml',
    ])
  })

  it.each(yamls)('%s resolves to its golden settings', async (name) => {
    const loaded = await loadSettings(join(home, 'config', name), {})
    if (!('settings' in loaded)) throw new Error(loaded.problems.map(formatProblem).join('\n'))
    const resolved = `${JSON.stringify(loaded.settings, null, 2)}\n`.replaceAll(home, '/opt/infergate')
    const golden = join(GOLDEN, `${basename(name, '.yaml')}.json`)
    if (process.env['UPDATE_GOLDEN']) writeFileSync(golden, resolved)
    // Compared as data: the formatter may break the lines of the file as it likes.
    expect(JSON.parse(resolved)).toEqual(JSON.parse(readFileSync(golden, 'utf8')))
  })

  it.each(yamls)('%s tells editors where its schema is', (name) => {
    const text = readFileSync(join(ROOT, 'config', name), 'utf8')
    const [, reference = ''] = /^# yaml-language-server: \$schema=(\S+)\n/.exec(text) ?? []
    expect(join(ROOT, 'config', name, '..', reference)).toBe(join(ROOT, 'config', 'schema.json'))
  })
})
