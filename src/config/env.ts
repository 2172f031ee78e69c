/** Expands environment variables in a value: `${NAME}` and `${NAME:-default}`; `$${` is a literal `${`. */
export type Expanded =
  | { readonly text: string; readonly isSubstituted: boolean }
  | { readonly message: string; readonly fix: string }

const TOKEN = /\$\$\{|\$\{([^}]*)(\}?)/g
const REFERENCE = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s

/** Replaces every reference; the default is used for a variable that is unset or empty. */
export function expand(text: string, env: NodeJS.ProcessEnv): Expanded {
  let failure: { message: string; fix: string } | undefined
  let isSubstituted = false
  const expanded = text.replace(TOKEN, (token, inside: string | undefined, end: string | undefined) => {
    if (inside === undefined) return '${'
    const [, name, fallback] = REFERENCE.exec(inside) ?? []
    if (name === undefined || end !== '}') {
      failure ??= {
        message: 'this is no reference to a variable',
        fix: 'write ${NAME} or ${NAME:-default}, and $${ for a plain ${',
      }
      return token
    }
    isSubstituted = true
    const value = env[name]
    if (value !== undefined && (value !== '' || fallback === undefined)) return value
    if (fallback === undefined) {
      failure ??= {
        message: `the environment variable ${name} is not set`,
        fix: `set it, or write \${${name}:-default}`,
      }
    }
    return fallback ?? token
  })
  return failure ?? { text: expanded, isSubstituted }
}
