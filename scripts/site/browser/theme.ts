/** Runs before the page is drawn, so that it is drawn once. Without a choice the system's theme is taken, by the styles alone. */
try {
  const chosen = localStorage.getItem('theme')
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset['theme'] = chosen
} catch {
  // A browser that keeps nothing for files or strangers: the system's theme.
}
