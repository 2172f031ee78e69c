import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { claims, figures } from '../../../bench/openai/report.ts'
import { FRESH, scriptFor } from '../../../bench/openai/requests.ts'
import { type Side, scenarios } from '../../../bench/openai/scenarios.ts'

describe('the scenarios', () => {
  it.each(scenarios.map((one) => [one.name, one] as const))(
    '%s names its sides, and sends JSON',
    (_, one) => {
      const names = one.sides.map(({ name }) => name)
      expect(new Set(names).size).toBe(names.length)
      for (const { side, against } of one.goals)
        expect(names).toEqual(expect.arrayContaining([side, against]))
      for (const { sent = one.sent } of one.sides)
        for (const { body } of sent ?? []) expect(() => JSON.parse(body)).not.toThrow()
    },
  )
})

describe('a script for wrk', () => {
  it('has the requests as they are', () => {
    const folder = mkdtempSync(join(os.tmpdir(), 'infergate-script-'))
    const body = `{"input":"a \\"text\\"","user":"${FRESH}"}`
    const script = readFileSync(
      scriptFor(folder, 'one', [{ path: '/v1/x', body, headers: { A: 'b' } }]),
      'utf8',
    )
    rmSync(folder, { recursive: true })
    expect(script).toContain(`{"/v1/x",${JSON.stringify(body)},{["Content-Type"]="application/json",`)
    expect(script).toContain('["A"]="b"')
  })
})

describe('what rounds came to', () => {
  const side = (name: string): Side => ({ name, server: 'infergate' })
  const [scenario] = scenarios
  if (!scenario) throw new Error('there is none')
  const goal = { side: 'a', against: 'b', figure: 'perSecond', how: 'times', least: 2, aim: 3 } as const
  const outcome = {
    scenario: { ...scenario, goals: [goal, { ...goal, against: 'not there' }] },
    measured: [
      { side: side('a'), rounds: [30, 20, 100].map((perSecond) => ({ perSecond, cpuMicros: 5 })) },
      { side: side('b'), rounds: [10, 10, 10].map((perSecond) => ({ perSecond, cpuMicros: 20 })) },
    ],
  }

  it('is the medians, and ratios within rounds', () => {
    expect(figures(outcome)).toEqual([
      { side: 'a', 'a second': 30, 'CPU us': 5 },
      { side: 'b', 'a second': 10, 'CPU us': 20 },
    ])
    expect(claims(outcome)).toEqual([
      {
        claim: 'perSecond of a, times b',
        measured: 3,
        range: '2 to 10',
        'CPU times': 4,
        'at least': 2,
        aim: 3,
        reached: 'yes',
      },
    ])
  })
})
