import { describe, expect, it } from 'vitest'
import { digestOf } from '../../../../src/core/key.ts'
import {
  type GenerationNotes,
  readGeneration,
  spliced,
} from '../../../../src/protocol/openai/generation/request.ts'
import type { GenerationKind } from '../../../../src/protocol/openai/generation/rules.ts'

const MESSAGES = '"messages":[{"role":"user","content":"hi"}]'

function read(body: string, kind: GenerationKind = 'chat', keepsSampled = false) {
  return readGeneration(kind, Buffer.from(body), { seed: digestOf('seed'), keepsSampled })
}

function chat(members: string): string {
  return `{"model":"m",${MESSAGES}${members === '' ? '' : `,${members}`}}`
}

function bypassOf(body: string, kind?: GenerationKind): string | undefined {
  const reading = read(body, kind)
  return 'bypass' in reading ? reading.bypass : undefined
}

function asked(members: string, content: string): string {
  return `{"temperature":0,"messages":[{"role":"user","content":${content}}]${members}}`
}

describe('an answer may be kept', () => {
  it.each([
    ['"temperature":0', 'the temperature is zero'],
    ['"temperature":0.0', 'however it is written'],
    ['"temperature":-0e7', 'however it is written'],
    ['"temperature":0.7,"top_k":1', 'one token is left to choose from'],
    ['"temperature":0,"n":2', 'all choices are greedy'],
    ['"temperature":0,"tools":[{"type":"function","function":{"name":"f"}}]', 'the client runs the tool'],
    ['"temperature":0,"tools":[{"type":"custom","custom":{"name":"f"}}]', 'the client runs the tool'],
    ['"temperature":0,"tools":null,"tool_choice":"none"', 'there is no tool'],
    ['"temperature":0,"store":false,"audio":null,"modalities":["text"]', 'nothing is asked for'],
    ['"temperature":0,"kv_transfer_params":null,"web_search_options":null', 'nothing is asked for'],
  ])('%s: %s', (members) => {
    expect(bypassOf(chat(members))).toBeUndefined()
  })

  it('with content that lies in the body', () => {
    expect(
      bypassOf(asked('', '[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]')),
    ).toBeUndefined()
    expect(
      bypassOf(asked('', '[{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}}]')),
    ).toBeUndefined()
  })

  it('as a response that is not stored', () => {
    expect(bypassOf('{"temperature":0,"store":false,"input":"hi"}', 'responses')).toBeUndefined()
    // The item is there, and not only its id.
    const items =
      '[{"id":"i","type":"message","role":"assistant","content":[{"type":"output_text","text":"a"}]}]'
    expect(bypassOf(`{"temperature":0,"store":false,"input":${items}}`, 'responses')).toBeUndefined()
  })

  it('sampled, where the route keeps such answers', () => {
    expect(read(chat('"seed":1'), 'chat', true)).not.toHaveProperty('bypass')
    expect(read(chat('"store":true'), 'chat', true)).toEqual({ bypass: 'stateful' })
  })
})

describe('an answer may not be kept', () => {
  it.each([
    ['', 'sampled'],
    ['"temperature":1', 'sampled'],
    ['"temperature":"0"', 'sampled'],
    ['"temperature":null', 'sampled'],
    ['"temperature":0.01', 'sampled'],
    ['"seed":1', 'sampled'],
    ['"top_k":10', 'sampled'],
    ['"temperature":0,"store":true', 'stateful'],
    ['"temperature":0,"background":true', 'stateful'],
    ['"temperature":0,"kv_transfer_params":{"a":1}', 'stateful'],
    ['"temperature":0,"previous_response_id":"r"', 'stateful'],
    ['"temperature":0,"web_search_options":{}', 'server tools'],
    ['"temperature":0,"tools":[{"type":"web_search"}]', 'server tools'],
    ['"temperature":0,"tools":[{"type":"function"},{"type":"mcp"}]', 'server tools'],
    ['"temperature":0,"tools":[{}]', 'server tools'],
    ['"temperature":0,"audio":{"voice":"a"}', 'audio'],
    ['"temperature":0,"modalities":["text","audio"]', 'modalities'],
    ['"temperature":0,"stream":1', 'unclear'],
    ['"temperature":0,"temperature":0', 'duplicate-key'],
    ['"temperature":0,', 'unparsable'],
  ])('%s: %s', (members, reason) => {
    expect(bypassOf(chat(members))).toBe(reason)
  })

  it.each([
    ['[{"type":"image_url","image_url":{"url":"https://h/a.png"}}]', 'remote content'],
    ['[{"type":"image_url","image_url":{"\\u0075rl":"https://h/a.png"}}]', 'remote content'],
    ['[{"type":"image_url","image_url":null,"uuid":"a"}]', 'remote content'],
    ['[{"type":"video_url","video_url":{"url":"file:///a"}}]', 'remote content'],
    ['[{"type":"input_image","image_url":"https://h/a.png"}]', 'remote content'],
    ['[{"type":"image","image":"https://h/a.png"}]', 'remote content'],
    ['[{"type":"video","video":"https://h/a.mp4"}]', 'remote content'],
    ['[{"type":"file","file":{"file_id":"f"}}]', 'stateful'],
  ])('with %s: %s', (content, reason) => {
    expect(bypassOf(asked('', content))).toBe(reason)
  })

  it('as a response that the server keeps, or that goes on from one it has kept', () => {
    expect(bypassOf('{"temperature":0,"input":"hi"}', 'responses')).toBe('stateful')
    const stateless = '{"temperature":0,"store":false'
    expect(bypassOf(`${stateless},"input":"a","previous_response_id":"r"}`, 'responses')).toBe('stateful')
    expect(bypassOf(`${stateless},"prompt":{"id":"p"}}`, 'responses')).toBe('stateful')
    expect(bypassOf(`${stateless},"input":[{"type":"item_reference","id":"i"}]}`, 'responses')).toBe(
      'stateful',
    )
    for (const item of [
      '{"id":"i"}',
      '{"type":null,"id":"i"}',
      '{"type":"reasoning","id":"i","content":null}',
    ])
      expect(bypassOf(`${stateless},"input":[{"role":"user","content":"a"},${item}]}`, 'responses')).toBe(
        'stateful',
      )
    expect(bypassOf(`${stateless},"input":"a","tools":[{"type":"web_search"}]}`, 'responses')).toBe(
      'server tools',
    )
  })
})

describe('for whom an answer is', () => {
  const keyOf = (kind: GenerationKind, member: string) => {
    const reading = read(`{"temperature":0,"store":false,${member}"input":"hi"}`, kind)
    return 'bypass' in reading ? reading.bypass : reading.whole
  }

  it.each(['metadata', 'prompt_cache_key', 'safety_identifier', 'service_tier', 'user'])(
    'is in the key of a response, which repeats it: %s',
    (name) => {
      const [one, other] = [`"${name}":"a",`, `"${name}":"b",`]
      expect(keyOf('chat', one)).toBe(keyOf('chat', other))
      expect(keyOf('responses', one)).not.toBe(keyOf('responses', other))
      expect(keyOf('responses', one)).not.toBe(keyOf('responses', ''))
    },
  )

  it.each(['"stream":true,', '"priority":1,', '"request_id":"r",'])('is not said by %s', (member) => {
    expect(keyOf('responses', member)).toBe(keyOf('responses', ''))
  })
})

describe('the request for a stream', () => {
  /** The body that is sent for one with these members. */
  function sent(members: string): string {
    const body = `{"temperature":0,"stream":true${members}}`
    const reading = read(body)
    if ('bypass' in reading) throw new Error(reading.bypass)
    const { usage } = reading.common as GenerationNotes
    return usage ? Buffer.from(spliced(Buffer.from(body), usage)).toString() : body
  }

  it.each([
    ['', ',"stream_options":{"include_usage":true}'],
    [' ', ',"stream_options":{"include_usage":true} '],
    [',"stream_options":null', ',"stream_options":{"include_usage":true}'],
    [',"stream_options":{}', ',"stream_options":{"include_usage":true}'],
    [',"stream_options":{"a":1}', ',"stream_options":{"a":1,"include_usage":true}'],
    [',"stream_options":{"include_usage":false}', ',"stream_options":{"include_usage":true}'],
    [',"stream_options":{"include_usage": null ,"a":1}', ',"stream_options":{"include_usage": true ,"a":1}'],
    [',"stream_options":{"include_usage":true}', ',"stream_options":{"include_usage":true}'],
  ])('asks for the usage: %s', (members, changed) => {
    expect(sent(members)).toBe(`{"temperature":0,"stream":true${changed}}`)
  })

  it('says what its caller wants', () => {
    const reading = read(chat('"temperature":0,"max_tokens":5,"n":3,"stream":true'))
    expect(reading).toMatchObject({
      generation: { isStreamed: true },
      common: { kind: 'chat', isStreamed: true, wantsUsage: false, isBounded: true, choices: 3 },
    })
  })
})

describe('a whole answer has as many choices', () => {
  it.each([
    ['"prompt":"a"', 1],
    ['"prompt":["a","b"]', 2],
    ['"prompt":["a","b"],"n":3', 6],
    ['"n":3,"prompt":["a","b"]', 6],
    ['"prompt":[1,2,3]', 1],
    ['"prompt":[[1,2],[3],[4]]', 3],
    ['"prompt":[]', 1],
  ])('for %s as %d', (members, choices) => {
    const reading = read(`{"temperature":0,${members}}`, 'completions')
    expect(reading).toHaveProperty('common.choices', choices)
  })
})
