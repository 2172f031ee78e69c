import { describe, expect, it } from 'vitest'
import { promptPrefix } from '../../../../src/protocol/openai/prefix.ts'

const SYSTEM = { role: 'system', content: 'You answer in the words of a sea captain. '.repeat(40) }
const user = (content: string) => ({ role: 'user', content })

function prefixOf(body: object | string, verb = 'chat') {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return promptPrefix({ target: { verb, prediction: true } }, Buffer.from(text))
}

/** How many blocks of the two prompts are the same, from the first on. */
function shared(one: object, other: object, verb?: string): number {
  const [a, b] = [prefixOf(one, verb), prefixOf(other, verb)]
  if (!a || !b) return -1
  let blocks = 0
  const isSame = (at: number) => a.lanes[at] === b.lanes[at]
  while (blocks < Math.min(a.blocks, b.blocks) && isSame(2 * blocks) && isSame(2 * blocks + 1)) blocks++
  return blocks
}

describe('the beginning of a prompt', () => {
  const first = { model: 'm', messages: [SYSTEM, user('How deep is it here?')], temperature: 0 }

  it('is the same as far as two prompts are', () => {
    const other = { ...first, messages: [SYSTEM, user('Where is the wind from?')], stream: true }
    expect(prefixOf(first)?.blocks).toBe(6)
    expect(shared(first, other)).toBe(6)
    const [early] = [{ ...SYSTEM, content: `Now: ${SYSTEM.content}` }]
    expect(shared(first, { ...first, messages: [early, user('Hm')] })).toBe(0)
  })

  it('grows with a conversation', () => {
    const turns = [user('A'.repeat(600)), { role: 'assistant', content: 'B'.repeat(600) }, user('C')]
    const next = { ...first, messages: [SYSTEM, ...turns] }
    const after = { ...first, messages: [SYSTEM, ...turns, user('D'.repeat(600))] }
    expect(shared(next, after)).toBe(prefixOf(next)?.blocks)
    expect(prefixOf(after)?.blocks).toBeGreaterThan(prefixOf(next)?.blocks ?? 0)
  })

  it.each([
    ['another model or adapter', { model: 'm-lora' }],
    ['an adapter of SGLang', { lora_path: 'a' }],
    ['another salt', { cache_salt: 's' }],
    ['other tools', { tools: [{ type: 'function', function: { name: 'sound' } }] }],
  ])('is none of the same with %s', (_, change) => {
    expect(shared(first, { ...first, ...change })).toBe(0)
  })

  it('does not depend on the order of members', () => {
    const { model, ...rest } = first
    expect(shared(first, { ...rest, model })).toBe(6)
  })

  it('is read of completions and responses', () => {
    const prompt = 'Once upon a time '.repeat(60)
    expect(shared({ model: 'm', prompt }, { model: 'm', prompt: `${prompt} more` }, 'completions')).toBe(3)
    const input = { model: 'm', instructions: SYSTEM.content }
    expect(shared({ ...input, input: 'a' }, { ...input, input: 'b' }, 'responses')).toBe(6)
  })

  it('is bounded', () => {
    expect(prefixOf({ model: 'm', prompt: 'x'.repeat(1_000_000) }, 'completions')?.blocks).toBe(256)
  })

  it.each([
    ['no prompt', '{"model":"m"}'],
    ['no JSON', '{"model":"m","messages":['],
    ['no object', '[1]'],
    ['a member twice', '{"messages":[1],"messages":[2]}'],
  ])('is none where there is %s', (_, body) => {
    expect(prefixOf(body)).toBeUndefined()
  })

  it('is none of what is no generation', () => {
    expect(prefixOf({ model: 'm', input: 'x'.repeat(600) }, 'embeddings')).toBeUndefined()
  })
})
