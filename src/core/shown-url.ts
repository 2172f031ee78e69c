/**
 * A URL as people may see it, in messages and in the log: password and query, which may be secrets, are hidden; the rest
 * identifies the server. What is no URL, such as a path, is shown as it is.
 */
export function shownUrl(text: string): string {
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? URL.parse(text) : null
  if (!url) return text
  if (url.password !== '') url.password = '***'
  if (url.search !== '') url.search = '?***'
  return url.href
}
