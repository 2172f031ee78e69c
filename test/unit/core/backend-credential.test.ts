/** Which backends may have the credential of a pool, whatever they call themselves. */
import { describe, expect, it } from 'vitest'
import { mayReceive } from '../../../src/core/backend-credential.ts'

const bound = {
  urls: ['http://10.9.0.1:8501', 'https://models.example/v1'],
  hosts: ['gpu.internal', '*.models.internal', '10.1.0.0/16', 'fd00:1::/32', '192.168.7.7'],
}

describe('the credential of a pool', () => {
  it.each([
    'http://10.9.0.1:8501',
    'https://models.example/v1',
    'https://gpu.internal',
    'https://gpu.internal:8443/some/path',
    'https://a.models.internal',
    'https://a.b.models.internal',
    'http://10.1.255.255:80',
    'https://10.1.0.0:8443',
    'http://[fd00:1::9]:8501',
    'http://192.168.7.7',
    'http://[::ffff:10.1.0.1]',
  ])('is for %s', (url) => expect(mayReceive(url, bound)).toBe(true))

  it.each([
    // Another port, scheme or path than the backend that the settings name.
    'http://10.9.0.1:8502',
    'https://10.9.0.1:8501',
    'https://models.example',
    'https://models.example/v1/other',
    'https://models.example/v10',
    // A name that nothing proves.
    'http://gpu.internal',
    'http://a.models.internal',
    // Names that look like one.
    'https://models.internal',
    'https://xmodels.internal',
    'https://gpu.internal.evil.example',
    'https://models.internal.evil.example',
    'https://gpu.internal.',
    'https://evil-gpu.internal',
    // Other addresses, and names that look like addresses.
    'http://10.2.0.1',
    'http://[fd00:2::9]',
    'http://10.1.0.1.evil.example',
    'https://10.1.0.1.evil.example',
    'https://192.168.7.70',
  ])('is not for %s', (url) => expect(mayReceive(url, bound)).toBe(false))

  it('is for nobody but the backends of the settings, unless they say so', () => {
    const only = { urls: ['http://127.0.0.1:1'], hosts: [] }
    expect(mayReceive('http://127.0.0.1:1', only)).toBe(true)
    expect(mayReceive('http://127.0.0.1:2', only)).toBe(false)
    expect(mayReceive('https://127.0.0.1', only)).toBe(false)
  })
})
