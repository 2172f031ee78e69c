/** Markdown as HTML whose links lead to places of the site. */
import type { Token } from 'markdown-it'
import { foldersOf, type Library, targetOf } from './links.ts'
import { attributeOf, HTML_TARGET, type MarkdownPage, markdown } from './markdown.ts'
import { hrefBetween, placeOf } from './pages.ts'

export interface Rendered {
  readonly html: string
  /** Files of the repository that the page shows or leads to, folders with a `/` at their end; `.` is its root. */
  readonly uses: readonly string[]
}

export function renderPage(library: Library, file: string, page: MarkdownPage): Rendered {
  const uses: string[] = []
  const folders = foldersOf(library.files)
  function moved(written: string): string {
    const target = targetOf(file, written)
    if (target.kind !== 'inside') return written
    const { path, anchor } = target
    const isFolder = path === '.' || folders.has(path)
    const index = path === '.' ? 'README.md' : `${path}/README.md`
    // A folder is its page, where it has one.
    const use = isFolder ? (library.files.has(index) ? index : `${path}/`) : path
    if (use !== file) uses.push(use)
    const hash = anchor === undefined ? '' : `#${encodeURIComponent(anchor)}`
    if (use === file && hash) return hash
    const place = use.endsWith('/') ? `${use}index.html` : placeOf(use)
    return hrefBetween(placeOf(file), place) + hash
  }
  const tokens = page.tokens.map((token) => copyOf(token, moved))
  return { html: markdown.renderer.render(tokens, markdown.options, {}), uses }
}

/** What was read stays as it is, for the next who renders it. */
function copyOf(token: Token, moved: (written: string) => string): Token {
  const copy = Object.assign(Object.create(Object.getPrototypeOf(token) as object), token) as Token
  copy.attrs = token.attrs?.map(([name, value]) => attribute(name, String(value), moved)) ?? null
  copy.children = token.children?.map((child) => copyOf(child, moved)) ?? null
  if (token.type.startsWith('html_'))
    copy.content = token.content.replace(
      HTML_TARGET,
      (_, name: string, value: string) => `${name}="${moved(value)}"`,
    )
  return copy
}

function attribute(name: string, value: string, moved: (written: string) => string): [string, string] {
  if (name === 'href' || name === 'src') return [name, moved(value)]
  // The policy of the site allows no styles in its pages.
  if (name === 'style') return ['class', value.replace('text-align:', 'align-')]
  return [name, value]
}

const { rules } = markdown.renderer
rules['table_open'] = () => '<div class="table"><table>\n'
rules['table_close'] = () => '</table></div>\n'
rules['heading_close'] = (tokens, at) => {
  const open = tokens.slice(0, at).findLast(({ type }) => type === 'heading_open')
  const slug = escapeHtml(attributeOf(open, 'id'))
  return ` <a class="anchor" href="#${slug}" aria-label="Link to this section">#</a></${tokens[at]?.tag}>\n`
}
rules['fence'] = (tokens, at) => {
  const { content = '', info = '' } = tokens[at] ?? {}
  return codeBlock(content, info.trim())
}

/** `language`: empty where the page does not say. */
export function codeBlock(text: string, language: string): string {
  const html = /^(sh|bash|ya?ml|python|toml)$/.test(language) ? withComments(text) : escapeHtml(text)
  return `<pre data-language="${escapeHtml(language)}"><code>${html}</code></pre>\n`
}

/** Comments stand back, which is what one wants to see of a shell's lines or of YAML. */
function withComments(text: string): string {
  return text
    .split('\n')
    .map((line) => {
      const [, before = line, comment = ''] =
        /^((?:[^'"#]|"[^"]*"|'[^']*'|(?<=\S)#)*?)((?:^|(?<=\s))#.*)$/.exec(line) ?? []
      return escapeHtml(before) + (comment && `<span class="comment">${escapeHtml(comment)}</span>`)
    })
    .join('\n')
}

export const escapeHtml = (text: string): string => markdown.utils.escapeHtml(text)
