"""How changes are found: the tree of folders, the notifiers, what is pending. `buildwidget.watcher` is its face."""
