// textual.js reads the socket's address from the element; it follows from where this page is.
document.addEventListener("DOMContentLoaded", () => {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  document.getElementById("terminal").dataset.sessionWebsocketUrl = `${scheme}//${location.host}/ws`;

  // Keys reach the dashboard as soon as it is drawn, without a click.
  new MutationObserver((_changes, observer) => {
    const keyboard = document.querySelector(".xterm-helper-textarea");
    if (!keyboard || !document.body.classList.contains("-first-byte")) return;
    observer.disconnect();
    keyboard.focus();
  }).observe(document.body, { attributes: true, attributeFilter: ["class"], childList: true, subtree: true });
});
