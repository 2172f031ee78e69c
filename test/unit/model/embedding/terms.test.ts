import { describe, expect, it } from 'vitest'
import type { FileName } from '../../../../src/model/embedding/files.ts'
import { encoderTerms } from '../../../../src/model/embedding/terms.ts'

const files = (given: Partial<Record<FileName, unknown>>) =>
  new Map(Object.entries({ 'tokenizer.json': {}, ...given }) as [FileName, unknown][])
const terms = (given: Partial<Record<FileName, unknown>>, isPooled = false) =>
  encoderTerms(files(given), {}, isPooled)
const steps = (...names: string[]) => names.map((name) => ({ type: `sentence_transformers.models.${name}` }))

describe('the terms of an encoder', () => {
  it('are the mean at length 1 of at most 512 tokens where no file says otherwise', () => {
    expect(terms({})).toEqual({
      pooling: 'mean',
      normalize: true,
      maxTokens: 512,
      truncate: false,
      dimensions: [],
    })
  })

  it('are what the files say', () => {
    expect(
      terms({
        '1_Pooling/config.json': { pooling_mode_cls_token: true, pooling_mode_mean_tokens: false },
        'modules.json': steps('Transformer', 'Pooling'),
        'sentence_bert_config.json': { max_seq_length: 256 },
        'tokenizer_config.json': { model_max_length: 128 },
        'tokenizer.json': { truncation: { max_length: 64 } },
        'config.json': { max_position_embeddings: 512, matryoshka_dimensions: [32, 64] },
      }),
    ).toEqual({ pooling: 'cls', normalize: false, maxTokens: 256, truncate: true, dimensions: [32, 64] })
  })

  it('are what the settings say before that', () => {
    const given = {
      'modules.json': steps('Transformer', 'Pooling', 'Normalize'),
      'config.json': { is_matryoshka: true },
    }
    const options = {
      pooling: 'cls',
      normalize: false,
      maxTokens: 8,
      truncate: true,
      dimensions: [2],
    } as const
    expect(encoderTerms(files(given), options, false)).toEqual(options)
    expect(terms(given).dimensions).toBe('any')
  })

  it.each([
    [
      { 'tokenizer_config.json': { model_max_length: 128 }, 'config.json': { max_position_embeddings: 64 } },
      128,
    ],
    [
      {
        'tokenizer_config.json': { model_max_length: 1e30 },
        'tokenizer.json': { truncation: { max_length: 9 } },
      },
      9,
    ],
    [{ 'config.json': { max_position_embeddings: 64 } }, 64],
    [{ 'sentence_bert_config.json': { max_seq_length: null } }, 512],
  ])('%j: at most %i tokens', (given, maxTokens) => {
    expect(terms(given).maxTokens).toBe(maxTokens)
  })

  it('refuses what the graph does not do, and says what does', () => {
    const lastToken = { '1_Pooling/config.json': { pooling_mode_lasttoken: true } }
    expect(() => terms(lastToken)).toThrow(/asks for last pooling: set "pooling"|asks for lasttoken pooling/)
    const both = { pooling_mode_mean_tokens: true, pooling_mode_max_tokens: true }
    expect(() => terms({ '1_Pooling/config.json': both })).toThrow('mean and max')
    const dense = { 'modules.json': steps('Transformer', 'Pooling', 'Dense') }
    expect(() => terms(dense)).toThrow('a step "Dense" that is not in this graph')
    // A graph that ends with a vector a text has all its steps.
    expect(terms({ ...dense, ...lastToken }, true).normalize).toBe(false)
    const short = files({ 'config.json': { max_position_embeddings: 64 } })
    expect(() => encoderTerms(short, { maxTokens: 65 }, false)).toThrow(
      '65 tokens are more than the 64 positions',
    )
  })
})
