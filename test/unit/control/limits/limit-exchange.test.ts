/** The rounds in which gateways tell each other what was used: what is sent again, and what is said when nobody answers. */
import { describe, expect, it } from 'vitest'
import { LimitExchange } from '../../../../src/control/limits/limit-exchange.ts'
import type { ExchangeAnswer, ExchangeRequest } from '../../../../src/control/limits/limit-store.ts'
import { silentLog } from '../../../../src/core/log.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

const ANSWER: ExchangeAnswer = {
  now: 5,
  gateways: 2,
  sequence: 7,
  reports: [],
  totals: [],
  isHeard: true,
  problems: [],
}

function setUp() {
  const clock = new FakeClock()
  const heard: string[] = []
  const logged: string[] = []
  const asked: ExchangeRequest[] = []
  const state: { answer: ExchangeAnswer | undefined; connected: boolean } = {
    answer: ANSWER,
    connected: true,
  }
  const log = {
    ...silentLog,
    warn: (event: string) => logged.push(event),
    info: (event: string) => logged.push(event),
  }
  let used = 0
  const exchange = new LimitExchange({
    clock,
    log,
    gateway: 'a',
    store: {
      get connected() {
        return state.connected
      },
      exchange: async (request) => {
        asked.push(request)
        if (!state.answer) throw new Error('no answer')
        return state.answer
      },
      leave: async () => void heard.push('left'),
    },
    limits: {
      take: () => ({ used: [1, 2, ++used, 0], running: [], served: [], waiting: [] }),
      hear: (gateways, reports) => void heard.push(`heard ${gateways} ${JSON.stringify(reports)}`),
      part: () => {
        heard.push('part')
        return 0.5
      },
      rejoin: (gateways) => void heard.push(`rejoined ${gateways}`),
      takeQuotas: () => [],
      counted: () => {},
    },
  })
  /** Lets rounds pass. */
  const pass = async (rounds: number) => {
    for (let i = 0; i < rounds; i++) {
      clock.advance(100)
      for (let turn = 0; turn < 20; turn++) await Promise.resolve()
    }
  }
  exchange.start()
  return { exchange, heard, logged, asked, state, pass }
}

describe('a round', () => {
  it('joins the others first, and says nothing of what was used before', async () => {
    const { asked, heard, pass } = setUp()
    await pass(2)
    expect(asked[0]).toMatchObject({ gateway: 'a', number: 1, report: undefined, last: undefined })
    expect(asked[1]).toMatchObject({
      number: 2,
      report: '{"used":[1,2,1,0],"running":[],"served":[],"waiting":[]}',
      last: 7,
    })
    expect(heard.slice(0, 3)).toEqual(['part', 'rejoined 2', 'heard 2 []'])
  })

  it('that was not answered is sent again as it was', async () => {
    const { asked, state, pass } = setUp()
    await pass(2)
    state.answer = undefined
    await pass(3)
    const [first, ...again] = asked.slice(-3)
    for (const request of again) expect(request).toEqual(first)
  })

  it('takes what is no report for an empty one', async () => {
    const { heard, state, pass } = setUp()
    await pass(1)
    const texts = [
      '',
      '{',
      'null',
      '{"used":[1]}',
      '{"used":[1,2,-3,0]}',
      '{"used":["a",2,3,4],"running":{}}',
    ]
    state.answer = { ...ANSWER, reports: texts.map((text) => ({ gateway: 'b', text })) }
    await pass(1)
    const empty = { gateway: 'b', used: [], running: [], served: [], waiting: [] }
    expect(heard.at(-1)).toBe(`heard 2 ${JSON.stringify(texts.map(() => empty))}`)
  })
})

describe('without the store', () => {
  it('this gateway has its part after a second, and says so once', async () => {
    const { exchange, heard, logged, state, pass } = setUp()
    await pass(20)
    expect(exchange.problems).toEqual([])
    state.connected = false
    await pass(9)
    expect(heard.at(-1)).not.toBe('part')
    await pass(30)
    expect(heard.filter((each) => each === 'part').length).toBe(2)
    expect(logged).toEqual(['limits.away'])
    expect(exchange.problems[0]).toMatch(/no connection.*1\/2 of each limit/)
    state.connected = true
    await pass(2)
    expect(logged).toEqual(['limits.away', 'limits.back'])
    expect(exchange.problems).toEqual([])
  })

  it('nothing is said while it starts', async () => {
    const { exchange, logged, state, pass } = setUp()
    state.connected = false
    await pass(13)
    expect(logged).toEqual([])
    await pass(5)
    expect(exchange.problems).toHaveLength(1)
  })

  it('the others are waited for two seconds, when the store is back and they are not', async () => {
    const { heard, state, pass } = setUp()
    await pass(5)
    state.answer = undefined
    await pass(15)
    state.answer = { ...ANSWER, gateways: 1 }
    await pass(15)
    expect(heard.at(-1)).toBe('part')
    await pass(10)
    expect(heard).toContain('rejoined 1')
  })
})

describe('where something else lies in the store', () => {
  it('is said once, and the others are heard all the same', async () => {
    const { exchange, heard, logged, state, pass } = setUp()
    await pass(5)
    state.answer = { ...ANSWER, problems: ['a list at q'] }
    await pass(30)
    expect(logged).toEqual(['limits.odd'])
    expect(exchange.problems).toEqual(['tenants: a list at q'])
    expect(heard.at(-1)).toBe('heard 2 []')
    state.answer = ANSWER
    await pass(1)
    expect(exchange.problems).toEqual([])
  })

  it('this gateway has its part where they cannot be heard, and goes on with quotas', async () => {
    const { exchange, asked, heard, logged, state, pass } = setUp()
    await pass(5)
    state.answer = { ...ANSWER, isHeard: false, problems: ['a list at g'] }
    await pass(30)
    expect(logged).toEqual(['limits.odd', 'limits.away'])
    expect(exchange.problems).toEqual([expect.stringContaining('1/2 of each limit'), 'tenants: a list at g'])
    const rounds = asked.length
    await pass(3)
    expect(asked.slice(rounds).map(({ number }) => number)).toEqual([rounds + 1, rounds + 2, rounds + 3])
    state.answer = ANSWER
    await pass(2)
    expect(logged.at(-1)).toBe('limits.back')
    expect([exchange.problems, heard.at(-1)]).toEqual([[], 'heard 2 []'])
  })
})

it('says the last of it when it ends', async () => {
  const { exchange, asked, heard, pass } = setUp()
  await pass(3)
  const before = asked.length
  await exchange.close()
  expect(asked.length).toBe(before + 1)
  expect(heard.at(-1)).toBe('left')
  await pass(5)
  expect(asked.length).toBe(before + 1)
})
