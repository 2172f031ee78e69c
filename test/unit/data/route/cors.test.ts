/** What is said to which origin, whatever calls itself one. */
import { describe, expect, it } from 'vitest'
import { Cors, type CorsRules } from '../../../../src/data/route/cors.ts'

const rules: CorsRules = {
  origins: ['https://app.example', 'http://localhost:3000'],
  methods: ['GET', 'POST'],
  headers: ['authorization', 'content-type'],
  exposeHeaders: ['cache-status'],
  credentials: true,
  maxAge: 90_500,
}
const VARY = ['Vary', 'Origin']
const of = (changes: Partial<CorsRules>, headers: readonly string[]) =>
  new Cors({ ...rules, ...changes }).fields(headers)

describe('named origins', () => {
  it('are told that they may read, and what', () => {
    expect(of({}, ['Origin', 'https://app.example'])).toEqual({
      pairs: [
        ...VARY,
        ...['Access-Control-Allow-Origin', 'https://app.example'],
        ...['Access-Control-Allow-Credentials', 'true'],
        ...['Access-Control-Expose-Headers', 'cache-status'],
      ],
      text: 'Vary: Origin\r\nAccess-Control-Allow-Origin: https://app.example\r\nAccess-Control-Allow-Credentials: true\r\nAccess-Control-Expose-Headers: cache-status\r\n',
    })
  })

  it.each([
    'null',
    '*',
    '',
    'https://app.example.evil.example',
    'https://evil-app.example',
    'https://evil.example/https://app.example',
    'https://app.example:443',
    'https://app.example:8443',
    'https://app.example/',
    'https://app.example.',
    'https://APP.example',
    'HTTPS://app.example',
    'http://app.example',
    'https://user@app.example',
    'https://app.example, https://evil.example',
    'https://app.example https://evil.example',
    'https://аpp.example',
    ' https://app.example',
    'http://localhost:30000',
    'http://localhost',
    '__proto__',
    'constructor',
  ])('are no others: %j', (origin) => {
    expect(of({}, ['Origin', origin]).pairs).toEqual(VARY)
  })

  it('are not told by two fields, nor where there is none', () => {
    const twice = ['Origin', 'https://app.example', 'origin', 'https://evil.example']
    expect(of({}, twice).pairs).toEqual(VARY)
    expect(of({}, [...twice.slice(0, 2), ...twice.slice(0, 2)]).pairs).toEqual(VARY)
    expect(of({}, []).pairs).toEqual(VARY)
  })
})

it('any origin is told the same, so that answers do not vary', () => {
  const open = { origins: ['*'], credentials: false, exposeHeaders: [] }
  for (const headers of [[], ['Origin', 'null'], ['Origin', 'https://any.example']])
    expect(of(open, headers).pairs).toEqual(['Access-Control-Allow-Origin', '*'])
})

it('a preflight says what may be sent, to those who may', () => {
  const cors = new Cors(rules)
  expect(cors.preflight(['Origin', 'https://app.example']).slice(-6)).toEqual([
    ...['Access-Control-Allow-Methods', 'GET, POST'],
    ...['Access-Control-Allow-Headers', 'authorization, content-type'],
    ...['Access-Control-Max-Age', '90'],
  ])
  expect(cors.preflight(['Origin', 'https://evil.example'])).toEqual(VARY)
})
