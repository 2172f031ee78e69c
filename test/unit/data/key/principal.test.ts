import { describe, expect, it } from 'vitest'
import { principalOf } from '../../../../src/data/key/principal.ts'

describe('the principal', () => {
  it('is empty for a caller without credentials', () => {
    expect(principalOf(['Host', 'h', 'User-Agent', 'curl'])).toBe('')
  })

  it.each(['Authorization', 'Cookie', 'api-key', 'X-API-Key'])('differs by %s', (name) => {
    expect(principalOf([name, 'one'])).not.toBe(principalOf([name, 'two']))
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
