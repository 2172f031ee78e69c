/** Patterns of the settings: `*` stands for one or more characters, everything else for itself. */

const globs = new Map<string, RegExp>()

export function glob(pattern: string): RegExp {
  const known = globs.get(pattern)
  if (known) return known
  const escaped = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
  const compiled = new RegExp(`^${escaped.join('.+')}$`, 's')
  globs.set(pattern, compiled)
  return compiled
}
