import { describe, expect, it } from 'vitest'
import { CHOOSING_FIELDS, CREDENTIAL_FIELDS } from '../../../../src/core/fields.ts'
import { meaningOf, principalOf } from '../../../../src/data/key/meaning.ts'

describe('the principal', () => {
  it('is empty for a caller without credentials', () => {
    expect(principalOf(['Host', 'h', 'User-Agent', 'curl'])).toBe('')
  })

  it.each([...CREDENTIAL_FIELDS, 'Authorization', 'X_API_KEY'])('differs by %s', (name) => {
    const one = principalOf([name, 'one'])
    expect(one).not.toBe('')
    expect(one).not.toBe(principalOf([name, 'two']))
  })

  it('does not hold the secret', () => {
    expect(principalOf(['Authorization', 'Bearer secret'])).not.toContain('secret')
  })

  it('cannot be forged by moving bytes between fields', () => {
    expect(principalOf(['api-key', 'a;x-api-key:1:b'])).not.toBe(
      principalOf(['api-key', 'a', 'x-api-key', 'b']),
    )
    expect(principalOf(['authorization', 'a', 'authorization', 'b'])).not.toBe(
      principalOf(['authorization', 'ab']),
    )
  })

  it('is the same however the field name is spelt', () => {
    expect(principalOf(['AUTHORIZATION', 'x'])).toBe(principalOf(['authorization', 'x']))
  })
})

describe('what is asked beside path and body', () => {
  it.each([...CHOOSING_FIELDS, 'Seldon-Model', 'serve_multiplexed_model_id'])('is said by %s', (name) => {
    expect(meaningOf([name, 'a']).choosing).toEqual([name.toLowerCase(), 'a'])
  })

  it.each([
    [['Content-Type', 'a', 'content-type', 'b'], 'repeated content-type'],
    [['Content-Type', 'a', 'Content_Type', 'b'], 'spelling of content-type'],
    [['Content-Encoding', 'identity', 'Content-Encoding', 'gzip'], 'repeated content-encoding'],
    [
      ['Inference-Header-Content-Length', '0', 'Inference-Header-Content-Length', '9'],
      'repeated inference-header-content-length',
    ],
    [['Content-Range', 'bytes 0-1/2'], 'content-range'],
    [['ce-specversion', '1.0', 'ce-id', 'x'], 'cloudevent'],
    [['ts_request_sequence_id', '7'], 'sequence'],
    [['X-Amzn-SageMaker-Session-Id', 'NEW_SESSION'], 'session'],
    [['Content-Type', 'a', 'Content-Encoding', 'identity'], undefined],
  ])('is not for keeping, or is: %j', (headers, reason) => {
    expect(meaningOf(headers).unkeepable).toBe(reason)
  })
})
