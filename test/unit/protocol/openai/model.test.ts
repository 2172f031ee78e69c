import { describe, expect, it } from 'vitest'
import { Chunks } from '../../../../src/core/chunks.ts'
import { runToEnd } from '../../../../src/lib/cooperative.ts'
import { namedModel, namedModelSteps } from '../../../../src/protocol/openai/model.ts'

const NAMED: readonly (readonly [string, string])[] = [
  ['{"model":"m"}', 'm'],
  ['{"input":"x","model":"org/m:8b"}', 'org/m:8b'],
  [' { "a" : [1, {"model": "no"}], "model" : "m" , "b" : "\\"model\\":\\"no\\"" } ', 'm'],
  ['{"messages":[{"model":"no","content":"\\\\"}],"model":"é\\u00e9\\n"}', 'éé\n'],
  ['{"mod\\u0065l":"m"}', 'm'],
  ['{"metadata":{"model":"no"},"model":""}', ''],
]

const UNNAMED = [
  '',
  '{',
  'null',
  '"model"',
  '{}',
  '{"model":1}',
  '{"model":null,"input":"x"}',
  '{"model":["m"]}',
  '{"model":{"model":"m"}}',
  '{"models":"m"}',
  '{"input":"model","x":"m"}',
  '[{"model":"m"}]',
  '{"model":"a","model":"b"}',
  '{"model":"a","mod\\u0065l":"a"}',
  '{"model":"a"}{"model":"b"}',
  '{"model":"\\x"}',
  `{"model":"${'m'.repeat(2000)}"}`,
  '------form\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper',
]

function cut(body: Buffer, at: number): string | undefined {
  const pieces = new Chunks([body.subarray(0, at), body.subarray(at)])
  return runToEnd(namedModelSteps(pieces))?.model
}

describe('the model in a body', () => {
  it.each(NAMED)('of %s is %s', (text, model) => {
    const body = Buffer.from(text)
    expect(namedModel(body)).toEqual({ model })
    for (let at = 0; at <= body.length; at++) expect(cut(body, at)).toBe(model)
  })

  it.each(UNNAMED)('is not to be had of %s', (text) => {
    const body = Buffer.from(text)
    expect(namedModel(body)).toBeUndefined()
    for (let at = 0; at <= Math.min(body.length, 64); at++) expect(cut(body, at)).toBeUndefined()
  })
})
