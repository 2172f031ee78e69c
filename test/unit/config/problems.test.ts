/** Broken files, and exactly what is said about them. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatProblem, parseSettings } from '../../../src/config/load.ts'
import { writeYaml } from '../../../src/config/yaml.ts'
import { fields } from '../../golden/broken/fields.ts'
import { parts } from '../../golden/broken/parts.ts'
import { syntax } from '../../golden/broken/syntax.ts'

const ENV = { EMPTY: '', SECRET: 'hunter2-hunter2' }

function problemsOf(yaml: string): string[] {
  const parsed = parseSettings(yaml, 'gate.yaml', ENV)
  return 'problems' in parsed
    ? parsed.problems.map((problem) => formatProblem(problem).replace('gate.yaml:', ''))
    : []
}

describe('a broken file', () => {
  it.each([...syntax, ...fields, ...parts])('is told exactly: %s', (_name, yaml, wanted) => {
    expect(problemsOf(yaml)).toEqual(wanted)
  })
})

describe('the problems of a file', () => {
  it('come all at once, in the order of the file', () => {
    const yaml = `servr: {}
server:
  listen: 80
  workers: "\${NOPE}"
pools:
  a:
    health: { interval: 1ms, timeout: soon }
routes:
  - pool: b
`
    expect(problemsOf(yaml)).toEqual([
      '1:1: unknown key "servr" (did you mean "server"?)',
      '3:11: server.listen: expected a text, got a number (such as 0.0.0.0:8080)',
      '4:12: server.workers: the environment variable NOPE is not set (set it, or write ${NOPE:-default})',
      '7:25: pools.a.health.interval: must be from 50ms to 1h',
      '7:39: pools.a.health.timeout: expected a duration with its unit, such as 50ms, 1.5s, 10m, 24h or 7d',
      '9:11: routes[0].pool: there is no such pool (did you mean "a"?)',
    ])
  })

  it('never show a value that came from the environment, wherever it was put', () => {
    const places = [
      'server: { listen: "${SECRET}", workers: "${SECRET}", drainTimeout: "${SECRET}", trustedProxies: ["${SECRET}"] }',
      'admin: { tokens: [{ name: "${SECRET}!", hash: "${SECRET}", scopes: ["${SECRET}", "register:${SECRET}"] }] }',
      'cache: { tiers: [{ name: a, type: "${SECRET}" }, { name: b, type: redis, url: "${SECRET}", prefix: "${SECRET} " }] }',
      'pools: { a: { backends: [{ url: "${SECRET}" }], balance: { policy: "${SECRET}" } } }',
      'models: [{ name: m, source: "${SECRET}" }]',
      'routes: [{ pool: "${SECRET}", match: { path: "${SECRET}", method: "${SECRET}", host: "${SECRET}/" } }]',
    ]
    const problems = problemsOf(places.join('\n'))
    expect(problems.length).toBeGreaterThan(12)
    expect(problems.join('\n')).not.toMatch(/hunter2/)
  })
})

describe('the problems of a hostile file', () => {
  it('are few and found quickly where aliases multiply', () => {
    const bomb = Array.from(
      { length: 12 },
      (_, i) => `a${i}: &a${i} [${Array.from({ length: 9 }, () => (i === 0 ? 'x' : `*a${i - 1}`)).join()}]`,
    )
    expect(problemsOf(bomb.join('\n'))).toEqual([
      '1:1: aliases: Excessive alias count indicates a resource exhaustion attack',
    ])
  })

  it('are problems and never exceptions, whatever the text', () => {
    const word = fc.constantFrom(
      'server',
      'cache',
      'tiers',
      'pools',
      'routes',
      'models',
      'type',
      'redis',
      'name',
      'a',
    )
    const tree = fc.object({
      key: word,
      values: [word, fc.integer(), fc.boolean(), fc.constant(null)],
      maxDepth: 5,
    })
    const text = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      tree.map((value) => JSON.stringify(value)),
      tree.map(writeYaml),
    )
    fc.assert(
      fc.property(text, (yaml) => {
        const lines = yaml.split('\n').length
        const parsed = parseSettings(yaml, 'gate.yaml', ENV)
        if (!('problems' in parsed)) return
        expect(parsed.problems.length).toBeGreaterThan(0)
        for (const { line, column } of parsed.problems) {
          expect(line >= 1 && line <= lines && column >= 1).toBe(true)
        }
      }),
      { numRuns: 500 },
    )
  })
})
