/* From the file system a browser starts no worker, so there the search runs in a hidden frame. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      const waiting = [];
      this.postMessage = (data) => waiting.push(data);
      frame.hidden = true;
      frame.onload = () => {
        const inner = frame.contentWindow;
        inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
        inner.importScripts = (...urls) => Promise.all(urls.map((each) => run(inner, each)));
        run(inner, url).then(() => {
          this.postMessage = (data) => inner.dispatchEvent(new MessageEvent("message", { data }));
          waiting.forEach(this.postMessage);
        });
      };
      document.body.append(frame);
    }
  };
  const run = (inner, url) =>
    new Promise((loaded, failed) => {
      const script = inner.document.createElement("script");
      Object.assign(script, { src: url, onload: loaded, onerror: failed });
      inner.document.head.append(script);
    });
}
