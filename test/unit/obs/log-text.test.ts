/** Log lines for people. */
import { describe, expect, it } from 'vitest'
import { logFormatFor, textOfLine } from '../../../src/obs/log-text.ts'

const time = new Date(2026, 10, 30, 7, 8, 9, 10).toISOString()
const text = (line: object) => textOfLine(`${JSON.stringify({ time, ...line })}\n`, false)

describe('a line as text', () => {
  it.each([
    [
      'an event with its fields',
      { level: 'info', event: 'gateway.listening', data: { port: 8080 }, workers: 2, pools: ['a'] },
      '07:08:09.010 info  gateway listening data={"port":8080} workers=2 pools=["a"]\n',
    ],
    [
      'texts with blanks in quotes',
      { level: 'warn', event: 'backend.health', reason: 'no answer', host: 'a', none: '' },
      '07:08:09.010 warn  backend health reason="no answer" host=a none=""\n',
    ],
    [
      'a stack over its lines',
      { level: 'error', event: 'worker.exit', error: 'Error: x\n  at y' },
      '07:08:09.010 error worker exit error=Error: x\n      at y\n',
    ],
    [
      'a line end of a caller in quotes',
      { level: 'info', event: 'call', model: 'x\n08:00:00.000 error forged' },
      '07:08:09.010 info  call model="x\\n08:00:00.000 error forged"\n',
    ],
    [
      'nothing that a terminal obeys',
      { level: 'info', event: 'a.b', 'k\u001b[2J': 'v\u001b]0;x\u0007' },
      '07:08:09.010 info  a b k?[2J=v?]0;x?\n',
    ],
    [
      'a call of the access log',
      { requestId: 'r', status: 200 },
      '07:08:09.010 info  call requestId=r status=200\n',
    ],
  ])('has %s', (_, line, expected) => {
    expect(text(line)).toBe(expected)
  })

  it('is the line itself where that is no object', () => {
    expect(textOfLine('what?\n', false)).toBe('what?\n')
    expect(textOfLine('[1]\n', false)).toBe('[1]\n')
  })

  it('has colours where they are wanted', () => {
    expect(textOfLine('{"level":"error","event":"a"}\n', true)).toContain('\u001b[31merror\u001b[39m')
  })
})

it.each([
  ['auto', true, {}, 'text'],
  ['auto', false, {}, 'json'],
  ['auto', true, { CI: 'true' }, 'json'],
  ['auto', true, { NO_COLOR: '1' }, 'text'],
  ['json', true, {}, 'json'],
  ['text', false, { CI: 'true' }, 'text'],
] as const)('%s, on a terminal: %s, with %o: %s', (setting, isTTY, env, expected) => {
  expect(logFormatFor(setting, { isTTY }, env)).toBe(expected)
})
