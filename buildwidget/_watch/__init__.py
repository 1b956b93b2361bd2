"""The insides of `buildwidget.watcher`. Import the public names from there."""
