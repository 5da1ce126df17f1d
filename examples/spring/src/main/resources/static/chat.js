// Starts Airy's chat widget: with the customer's chat for one who has logged in, with the browser's own for others.
(async ({ channelId, host }) => {
  const place = `resume_token_${channelId}` // where the widget looks for a token, and keeps its own
  const answer = await fetch('/chat').catch(() => ({ ok: false }))
  if (answer.ok) {
    localStorage.setItem(place, (await answer.json()).resume_token)
    localStorage.setItem('chat_of_customer', place)
  } else if (answer.status === 401 && localStorage.getItem('chat_of_customer')) {
    localStorage.removeItem(place) // logged out: the next one in this browser must not see that chat
    localStorage.removeItem('chat_of_customer')
  }
  window.airy = { channelId, host, config: {} }
  const widget = document.createElement('script')
  widget.src = `${host}/chatplugin/ui/s.js`
  document.head.appendChild(widget)
})(document.currentScript.dataset)
