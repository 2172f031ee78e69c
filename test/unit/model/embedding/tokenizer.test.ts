import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { TextTokenizer } from '../../../../src/model/embedding/tokenizer.ts'
import { modelFile } from '../../../support/model-server.ts'

type Json = Record<string, unknown>

const sentences = JSON.parse(readFileSync(modelFile('sentences/1/tokenizer.json'), 'utf8')) as Json
const open = (json: unknown) => TextTokenizer.open(json, undefined)

/** A tokenizer of words, put together by hand. */
const words = (vocab: Json, over: Json = {}): Json => ({
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: { type: 'WhitespaceSplit' },
  post_processor: null,
  decoder: null,
  model: {
    type: 'WordPiece',
    unk_token: '[UNK]',
    continuing_subword_prefix: '##',
    max_input_chars_per_word: 100,
    vocab,
  },
  ...over,
})

describe('the tokenizer', () => {
  // As Hugging Face's own tokenizers 0.23.3 read them, without [CLS] and [SEP].
  it.each([
    ['sort a list', [1416, 42, 414]],
    ['Café naïve — 你好 world!', [44, 82, 87, 86, 55, 82, 169, 1, 1, 1, 64, 139, 210, 4]],
    ['emoji 🎉 ok [SEP] </s> <mask>', [46, 94, 96, 91, 90, 1, 56, 92, 3, 31, 18, 60, 33, 31, 463, 33]],
    ['', []],
    ['İstanbul ß ﬁ', [310, 101, 211, 83, 102, 93, 1, 1]],
    [
      '12345.678 foo_bar(baz)',
      [20, 74, 75, 76, 77, 17, 25, 79, 80, 47, 96, 96, 40, 1369, 99, 11, 1369, 107, 12],
    ],
  ])('reads %j as the library that models are trained with', async (text, ids) => {
    const tokenizer = await open(sentences)
    expect(tokenizer.tokens([text])).toEqual([ids])
    expect([tokenizer.before, tokenizer.behind, tokenizer.size]).toEqual([[2], [3], 2000])
  })

  it('puts nothing around a text where there is no post-processor', async () => {
    const tokenizer = await open(words({ '[UNK]': 0, a: 1 }))
    expect([tokenizer.before, tokenizer.behind]).toEqual([[], []])
    expect(tokenizer.tokens(['a a', 'b'])).toEqual([[1, 1], [0]])
  })

  it.each([
    ['a list', [], 'no "model"'],
    ['no model', {}, 'no "model" with a "vocab"'],
    ['a missing part', { model: { vocab: { a: 0 } } }, 'must contain'],
    ['an unknown model', words({}, { model: { type: 'Other', vocab: { a: 0 } } }), 'Other'],
    ['no tokens', words({}), 'tokenizer.json cannot be used'],
    ['a token without an id', words({ a: 'one' }), 'one of its tokens has no id'],
    ['an id that would take all memory', words({ a: 2 ** 31 }), 'one of its tokens has no id'],
    ['added tokens without ids', words({ a: 0 }, { added_tokens: [{ content: 'x' }] }), '"added_tokens"'],
    ['a step that is not known', words({ a: 0 }, { pre_tokenizer: { type: 'Other' } }), 'Other'],
  ])('refuses %s with the reason', async (_, json, reason) => {
    await expect(open(json)).rejects.toThrow(reason)
  })

  it('ends a pattern that takes for ever, and reads the next text', async () => {
    const split = { type: 'Split', pattern: { Regex: '(x+x+)+y' }, behavior: 'Isolated', invert: false }
    const json = words({ '[UNK]': 0, a: 1 }, { pre_tokenizer: split })
    const tokenizer = await TextTokenizer.open(json, undefined, 100)
    expect(() => tokenizer.tokens(['x'.repeat(60)])).toThrow(/longer than 0\.1 s/)
    expect(tokenizer.tokens(['a'])).toEqual([[1]])
  })
})
